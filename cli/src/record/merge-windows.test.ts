import {
  columnStacks,
  decodePprof,
  encodePprof,
  functionTotals,
  type Profile,
  resolveStacks,
} from '@strobe/profile'
import { expect, test } from 'vitest'
import { WindowMerger } from './merge-windows.ts'

/** One window: stacks of function names, each in /bin/api at an address of its own. */
function window(timeNanos: bigint, samples: { stack: string[]; value: bigint; series: number }[]): Profile {
  const names = [...new Set(samples.flatMap(sample => sample.stack))]
  const offsets = (lengths: number[]) => {
    const result = [0]
    for (const length of lengths) result.push(result.at(-1)! + length)
    return Uint32Array.from(result)
  }
  return {
    sampleTypes: [{ type: 'cpu', unit: 'nanoseconds' }],
    defaultSampleType: 'cpu',
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    ...{ period: 10n, timeNanos, durationNanos: 100n, comments: [] },
    mappings: [{ start: 0n, limit: 0xffffffffffffffffn, offset: 0n, file: '/bin/api', buildId: 'ab' }],
    functions: names.map(name => ({ name, systemName: name, file: '', startLine: 0 })),
    locationAddress: BigUint64Array.from(names, name => BigInt(name.charCodeAt(0))),
    locationMapping: new Int32Array(names.length),
    lineOffset: offsets(names.map(() => 1)),
    lineFunction: Int32Array.from(names.keys()),
    lineNumber: new Uint32Array(names.length),
    stackOffset: offsets(samples.map(sample => sample.stack.length)),
    stackLocation: Uint32Array.from(samples.flatMap(sample => sample.stack.map(name => names.indexOf(name)))),
    values: BigInt64Array.from(samples, sample => sample.value),
    labelOffset: offsets(samples.map(() => 2)),
    labelKey: Uint32Array.from(samples.flatMap(() => [0, 1])),
    labelString: Int32Array.from(samples.flatMap(() => [-1, 2])),
    labelNumber: BigInt64Array.from(samples.flatMap(sample => [BigInt(sample.series), 0n])),
    labelUnit: Int32Array.from(samples.flatMap(() => [-1, -1])),
    labelStrings: ['strobe_series', 'thread_name', 'main'],
  }
}

function describeSamples(profile: Profile): string[] {
  return Array.from(profile.values, (value, sample) => {
    const stack = profile.stackLocation.subarray(profile.stackOffset[sample], profile.stackOffset[sample + 1])
    const names = Array.from(
      stack,
      location => profile.functions[profile.lineFunction[profile.lineOffset[location]!]!]!.name,
    )
    const labels: string[] = []
    for (let at = profile.labelOffset[sample]!; at < profile.labelOffset[sample + 1]!; at++)
      labels.push(profile.labelStrings[profile.labelString[at]!]!)
    return `${names.join('<')} ${labels.join(' ')} ${value}`
  })
}

test('equal samples of two windows are one, and the series becomes its executable', () => {
  const merger = new WindowMerger()
  const api = new Map([['process_executable_name', 'api']])
  const tool = new Map([['process_executable_name', 'tool']])
  merger.add({
    profile: window(1000n, [
      { stack: ['b', 'a'], value: 10n, series: 0 },
      { stack: ['b', 'a'], value: 20n, series: 1 },
    ]),
    seriesLabels: [api, tool],
  })
  merger.add({
    profile: window(1100n, [
      { stack: ['c', 'a'], value: 5n, series: 1 },
      { stack: ['b', 'a'], value: 40n, series: 1 },
    ]),
    seriesLabels: [tool, api],
  })
  const merged = merger.finish()!
  expect(describeSamples(merged)).toEqual(['b<a main api 50', 'b<a main tool 20', 'c<a main api 5'])
  expect(merged).toMatchObject({ timeNanos: 1000n, durationNanos: 200n })
  expect([merged.mappings.length, merged.functions.length, merged.locationAddress.length]).toEqual([1, 3, 3])
})

test('the names of later windows are their own, also where the decoder keeps hashes beside them', () => {
  const merger = new WindowMerger()
  for (const names of [['a'], ['b', 'c']]) {
    const profile = window(1000n, [{ stack: names, value: 10n, series: 0 }])
    merger.add({ profile: decodePprof(encodePprof(profile)), seriesLabels: [new Map()] })
  }
  const stacks = columnStacks(resolveStacks(merger.finish()!), 0)
  const totals = functionTotals(stacks, stacks.values, stacks.frames)
  expect(totals.map(({ frame, self, total }) => `${frame.name} ${self} ${total}`)).toEqual([
    'a 10 10',
    'b 10 10',
    'c 0 10',
  ])
})

test('nothing recorded is null', () => {
  expect(new WindowMerger().finish()).toBeNull()
})
