import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Profile as PeerProfile } from 'pprof-format'
import { describe, expect, test } from 'vitest'
import { functionTotals } from './call-tree.ts'
import { columnStacks } from './column-stacks.ts'
import type { StrobeError } from './errors.ts'
import type { Profile } from './model.ts'
import { resolveStacks } from './normalize.ts'
import { decodePprof } from './pprof/decode.ts'
import { encodePprof } from './pprof/encode.ts'

const folder = new URL('../../test/data/conformance/', import.meta.url)

function read(file: string): Uint8Array {
  const bytes = readFileSync(new URL(file, folder))
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
}

/** The rows of SOURCES.md that describe valid protobuf files, as [file, expected]. */
const valid = readFileSync(new URL('SOURCES.md', folder), 'utf8')
  .split('\n')
  .filter(line => /^\| pprof\/(?!legacy)/.test(line) && line.includes('| valid ; '))
  .map(line => {
    const cells = line.replaceAll('\\|', '\0').split('|')
    return [cells[1]!.trim(), cells[5]!.replaceAll('\0', '|').trim()] as const
  })

function part(expected: string, pattern: RegExp): string {
  return pattern.exec(expected)?.[1] ?? expect.fail(`SOURCES.md has no ${pattern} in ${expected}`)
}

function totals(profile: Profile): bigint[] {
  const width = profile.sampleTypes.length
  return profile.sampleTypes.map((_, column) =>
    profile.values.reduce((sum, value, at) => (at % width === column ? sum + value : sum), 0n),
  )
}

function totalsText(profile: Profile): string {
  return profile.sampleTypes.map(({ type, unit }, i) => `${type}/${unit}=${totals(profile)[i]}`).join(', ')
}

function rangeSizes(offset: Uint32Array): number[] {
  return Array.from(offset.subarray(1), (end, i) => end - offset[i]!)
}

test('SOURCES.md was read', () => {
  expect(valid.length).toBeGreaterThanOrEqual(20)
})

describe.each(valid)('%s', (file, expected) => {
  const bytes = read(file)
  const profile = decodePprof(bytes)
  const resolved = resolveStacks(profile)

  test('totals and counts', () => {
    expect(`${totalsText(profile)} `).toBe(part(expected, /^valid ; (.*?)(?=; )/))
    const samples = profile.stackOffset.length - 1
    const width = profile.sampleTypes.length
    const rows = Array.from({ length: samples }, (_, i) =>
      profile.values.subarray(i * width, (i + 1) * width),
    )
    const allZero = rows.filter(row => row.every(value => value === 0n)).length
    const negative = rows.filter(row => row.some(value => value < 0n)).length
    const depths = rangeSizes(profile.stackOffset)
    const lines = rangeSizes(profile.lineOffset)
    const count = (list: ArrayLike<number>, is: (value: number) => boolean) =>
      Array.from(list).filter(is).length
    expect(
      [
        `samples ${samples} (allzero ${allZero}, neg ${negative}, noloc ${count(depths, depth => depth === 0)})`,
        `loc ${lines.length} (unsym ${count(lines, n => n === 0)}, nomap ${count(profile.locationMapping, m => m < 0)}, inlined ${count(lines, n => n > 1)}) func ${profile.functions.length} map ${profile.mappings.length} maxdepth ${Math.max(...depths)}`,
        `period ${profile.periodType.type}/${profile.periodType.unit} ${profile.period} dur ${profile.durationNanos} time ${profile.timeNanos}`,
      ].join(' ; '),
    ).toBe(part(expected, /; (samples .*? time \d+)/))
    expect(profile.defaultSampleType).toBe(/default "(.*?)"/.exec(expected)?.[1] ?? '')
  })

  test('labels', () => {
    const counts = new Map<string, number>()
    for (let at = 0; at < profile.labelKey.length; at++) {
      const key = `${profile.labelString[at]! < 0 ? '#' : ''}${profile.labelStrings[profile.labelKey[at]!]}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const text = [...counts]
      .map(([name, n]) => `${name}:${n}`)
      .sort()
      .join(',')
    expect(text).toBe(part(expected, /; labels (.*?) ?; self/))
  })

  test('self and total of the top functions', () => {
    const column = part(expected, /self\((.*?)\)/)
    const at = profile.sampleTypes.findIndex(({ type }) => type === column)
    expect(at).toBeGreaterThanOrEqual(0)
    const stacks = columnStacks(resolved, at)
    // pprof's listing knows names only: one name in two files is one entry there.
    const names = stacks.frames.map(({ name }) => ({ name, file: '', module: '', kind: 'native' as const }))
    const functions = functionTotals(stacks, stacks.values, names)
    const selfByName = new Map(functions.map(({ frame, self }) => [frame.name, self]))
    const totalByName = new Map(functions.map(({ frame, total }) => [frame.name, total]))
    const entries = (text: string) => text.split('; ').map(entry => /^(.*)=(\d+)$/s.exec(entry)!.slice(1, 3))
    const check = (text: string, actual: Map<string, number>) => {
      const sorted = [...actual.values()].sort((a, b) => b - a)
      for (const [rank, [name, value]] of entries(text).entries()) {
        expect([name, sorted[rank]]).toEqual([name, Number(value)])
        // SOURCES.md names an unsymbolized frame by its address in the process, we by that in its file.
        if (!/\+0x[0-9a-f]+$/.test(name!)) expect([name, actual.get(name!)]).toEqual([name, Number(value)])
      }
    }
    check(part(expected, /self\(.*?\) (.*?) ; cum /), selfByName)
    check(part(expected, / ; cum (.*)$/), totalByName)
  })

  test('survives encoding and decoding, twice to the same bytes', () => {
    const encoded = encodePprof(profile)
    const again = decodePprof(encoded)
    expect(again).toEqual(profile)
    expect(encodePprof(again)).toEqual(encoded)
  })

  test('pprof-format reads the same from the file and from what we encode', () => {
    for (const [input, ours] of [
      [bytes, profile],
      [encodePprof(profile), profile],
    ] as const) {
      const peer = PeerProfile.decode(input)
      const text = (index: number | bigint) => peer.stringTable.strings[Number(index)]
      expect(peer.sampleType.map(({ type, unit }) => ({ type: text(type), unit: text(unit) }))).toEqual(
        ours.sampleTypes,
      )
      expect(peer.sample.flatMap(sample => sample.value.map(BigInt))).toEqual([...ours.values])
      const positions = new Map(peer.location.map(({ id }, i) => [BigInt(id), i]))
      expect(peer.sample.flatMap(sample => sample.locationId.map(id => positions.get(BigInt(id))))).toEqual([
        ...ours.stackLocation,
      ])
      expect(peer.location.map(({ address }) => BigInt(address))).toEqual([...ours.locationAddress])
      expect(peer.location.flatMap(({ line }) => line.map(each => Number(each.line)))).toEqual([
        ...ours.lineNumber,
      ])
      expect(
        peer.function.map(each => [
          text(each.name),
          text(each.systemName),
          text(each.filename),
          Number(each.startLine),
        ]),
      ).toEqual(
        ours.functions.map(({ name, systemName, file, startLine }) => [name, systemName, file, startLine]),
      )
      expect(
        peer.mapping.map(each => [BigInt(each.memoryStart), text(each.filename), text(each.buildId)]),
      ).toEqual(ours.mappings.map(({ start, file, buildId }) => [start, file, buildId]))
      expect(peer.sample.flatMap(sample => sample.label.map(label => BigInt(label.num)))).toEqual([
        ...ours.labelNumber,
      ])
      expect(peer.sample.flatMap(sample => sample.label.map(label => text(label.key)))).toEqual(
        Array.from(ours.labelKey, key => ours.labelStrings[key]),
      )
    }
  })

  test('summing equal samples loses nothing', () => {
    const width = profile.sampleTypes.length
    const sums = totals({ ...profile, values: resolved.values })
    expect(sums).toEqual(totals(profile))
    expect(resolved.values.length).toBe(resolved.sampleStack.length * width)
    const keys = Array.from(
      resolved.sampleStack,
      (stack, i) => `${resolved.stackId[stack]} ${resolved.labelsetId[resolved.sampleLabelset[i]!]}`,
    )
    expect(new Set(keys).size).toBe(keys.length)
  })
})

describe('derived files', () => {
  const errgroup = decodePprof(read('pprof/go-cpu-errgroup.pb.gz'))
  const trees = (profile: Profile) => {
    const stacks = columnStacks(resolveStacks(profile), 1)
    return functionTotals(stacks, stacks.values, stacks.frames)
  }

  test.each([
    ['uncompressed.pb', 'samples/count=2974, cpu/nanoseconds=29740000000'],
    ['multi-member.pb.gz', 'samples/count=2974, cpu/nanoseconds=29740000000'],
    ['sample-without-locations.pb.gz', 'samples/count=38, cpu/nanoseconds=380000000'],
    ['duplicate-strings.pb.gz', 'samples/count=38, cpu/nanoseconds=380000000'],
    ['unknown-mapping-id.pb.gz', 'samples/count=38, cpu/nanoseconds=380000000'],
    ['time-zero.pb.gz', 'samples/count=38, cpu/nanoseconds=380000000'],
    ['odd-labels.pb.gz', 'samples/count=38, cpu/nanoseconds=380000000'],
  ])('%s is %s', (file, wanted) => {
    expect(totalsText(decodePprof(read(`derived/${file}`)))).toBe(wanted)
  })

  test.each([
    ['derived/concatenated.pb.gz', 'PPROF_CONCATENATED'],
    ['derived/empty.pb.gz', 'PPROF_EMPTY'],
    ['derived/value-count-mismatch.pb.gz', 'PPROF_VALUE_COUNT'],
    ['derived/zero-location-id.pb.gz', 'PPROF_LOCATION_ZERO'],
    ['pprof/fuzz-24b.bin', 'PPROF_WIRE_TYPE'],
  ])('%s is refused: %s', (file, code) => {
    expect(refusalOf(read(file))).toBe(code)
  })

  test('equal names merge though the string table holds them twice', () => {
    expect(trees(decodePprof(read('derived/duplicate-strings.pb.gz')))).toEqual(trees(errgroup))
  })

  test('an unknown mapping is no mapping', () => {
    const profile = decodePprof(read('derived/unknown-mapping-id.pb.gz'))
    expect(new Set(profile.locationMapping)).toEqual(new Set([-1]))
    expect(new Set(resolveStacks(profile).functions.map(each => each.module))).toEqual(new Set(['']))
  })

  test('a sample without locations is kept as [no stack]', () => {
    const profile = decodePprof(read('derived/sample-without-locations.pb.gz'))
    expect(rangeSizes(profile.stackOffset).filter(depth => depth === 0)).toHaveLength(1)
    const list = trees(profile)
    const none = list.find(({ frame }) => frame.kind === 'none')
    expect(none?.frame.name).toBe('[no stack]')
    expect(none!.self).toBeGreaterThan(0)
    expect(list.reduce((sum, { self }) => sum + self, 0)).toBe(380_000_000)
  })

  test('a missing time is 0n', () => {
    expect(decodePprof(read('derived/time-zero.pb.gz')).timeNanos).toBe(0n)
  })

  test('odd labels get names, and 64-bit numbers stay exact', () => {
    const resolved = resolveStacks(decodePprof(read('derived/odd-labels.pb.gz')))
    expect(resolved.labelsets[0]).toEqual([])
    const set = resolved.labelsets[1]!
    const names = set.map(label => label.name)
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_]*$/)
    expect(names).toEqual(expect.arrayContaining(['k8s_pod', 'local_root_span_id', 'service_name']))
    expect(set.find(label => label.unit !== null)?.value).toBe((2n ** 62n).toString())
    expect(resolved.labelsDuplicate).toBeGreaterThan(0)
  })

  test('cut short anywhere: refused with a code, or a whole field less', () => {
    const bytes = read('pprof/go-cpu-errgroup.pb.gz')
    let refused = 0
    for (let length = 0; length < bytes.length; length++) {
      const code = refusalOf(bytes.subarray(0, length))
      if (code !== null) refused++
    }
    expect(refused / bytes.length).toBeGreaterThan(0.9)
  })
})

/** The code decodePprof throws; null when it accepts. Anything but a coded error fails the test. */
function refusalOf(bytes: Uint8Array): string | null {
  try {
    decodePprof(bytes)
    return null
  } catch (error) {
    if ((error as Error).name !== 'StrobeError') throw error
    return (error as StrobeError).code
  }
}
