import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { StrobeError } from '../errors.ts'
import { type ResolvedProfile, resolveStacks } from '../normalize.ts'
import { decodePprof } from '../pprof/decode.ts'
import { encodePprof } from '../pprof/encode.ts'
import { profileFromColumns } from '../testing.ts'
import { cutStacks } from './cut-stacks.ts'
import { PprofBody } from './pprof-body.ts'

const folder = new URL('../../../test/data/conformance/', import.meta.url)
const files = ['pprof', 'derived'].flatMap(name =>
  readdirSync(new URL(name, folder))
    .filter(file => file.endsWith('.pb.gz') || file.endsWith('.pb'))
    .map(file => `${name}/${file}`),
)

function idAt(halves: ArrayLike<number>, index: number): bigint {
  return (BigInt(halves[2 * index + 1]!) << 32n) | BigInt(halves[2 * index]!)
}

/** Everything a store keeps, in an order of its own: samples, stacks, frames and functions by identity. */
function storedByColumns(resolved: ResolvedProfile): unknown {
  const frames = new Map(
    Array.from(resolved.frameId, (id, frame) => {
      const fn = resolved.functions[resolved.frameFunction[frame]!]!
      const isNamed = resolved.frameKind[frame] !== 'unsymbolized'
      const row = {
        fn: isNamed ? [resolved.functionId[resolved.frameFunction[frame]!], fn] : [0n, fn.module],
        line: resolved.frameLine[frame],
        buildId: resolved.frameBuildId[frame],
        address: resolved.frameAddress[frame],
        kind: resolved.frameKind[frame],
      }
      return [id, row] as const
    }),
  )
  const stackOf = (stack: number) => {
    const list = resolved.stackFrame.slice(resolved.stackOffset[stack], resolved.stackOffset[stack + 1])
    return { frames: Array.from(list, frame => resolved.frameId[frame]), functions: resolved.fstackId[stack] }
  }
  return {
    frames,
    stacks: new Map(Array.from(resolved.stackId, (id, stack) => [id, stackOf(stack)])),
    samples: Array.from(resolved.sampleStack, (stack, sample) => [
      resolved.stackId[stack],
      resolved.labelsetId[resolved.sampleLabelset[sample]!],
      resolved.sampleSeries[sample],
    ]),
    values: resolved.values,
    labelsets: resolved.labelsets,
    folded: resolved.labelsFolded,
  }
}

function storedByBody(body: PprofBody): unknown {
  const text = (bytes: Uint8Array) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  const halves = new Uint32Array(2)
  const frames = new Map()
  const frameOf = (frame: number) => {
    const fn = body.frameFunction[frame]!
    const module = body.modules[body.frameMapping[frame]!]!
    const info = () => ({
      name: text(body.functionName(fn)),
      systemName: text(body.functionSystemName(fn)),
      file: text(body.functionFile(fn)),
      startLine: body.functionStartLine(fn),
      module,
    })
    return {
      fn: body.isNamed(frame) ? [idAt(body.frameFunctionIds, frame), info()] : [0n, module],
      line: body.frameLine[frame],
      buildId: body.buildIds[body.frameMapping[frame]!],
      address: idAt(body.frameAddress, frame),
      kind: body.frameKind(frame),
    }
  }
  // Of frames with one id the first is kept, as in the other form.
  for (let frame = 0; frame < body.frames; frame++) {
    const id = idAt(body.frameIds, frame)
    if (!frames.has(id)) frames.set(id, frameOf(frame))
  }
  const stacks = new Map()
  for (let stack = 0; stack < body.stacks; stack++) {
    body.storeFunctionStackId(stack, halves, 0)
    const list = body.stackFrame.slice(body.stackOffset[stack], body.stackOffset[stack + 1])
    stacks.set(idAt(body.stackIds, stack), {
      frames: Array.from(list, frame => idAt(body.frameIds, frame)),
      functions: idAt(halves, 0),
    })
  }
  return {
    frames,
    stacks,
    samples: Array.from(body.sampleStack.slice(0, body.samples), (stack, sample) => [
      idAt(body.stackIds, stack),
      idAt(body.labelsetIds, body.sampleLabelset[sample]!),
      body.sampleSeries[sample],
    ]),
    values: body.values,
    labelsets: body.labelsets,
    folded: body.labelsFolded,
  }
}

function outcome(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof StrobeError)) throw error
    return error.code
  }
}

test('every file of the conformance set gives the ids, rows and refusals of resolveStacks, one after another', () => {
  expect(files.length).toBeGreaterThanOrEqual(30)
  const body = new PprofBody()
  for (const file of files) {
    const packed = readFileSync(new URL(file, folder))
    let bytes: Uint8Array = packed
    if (packed[0] === 0x1f) {
      try {
        bytes = gunzipSync(packed)
      } catch {
        continue
      }
    }
    expect([file, outcome(() => storedByBody(body.read(bytes)))]).toEqual([
      file,
      outcome(() => storedByColumns(resolveStacks(decodePprof(bytes)))),
    ])
  }
})

test('stacks that are cut have the ids of cutStacks', () => {
  const body = new PprofBody()
  for (const name of ['go-heap-small', 'go-inlined.cpu', 'raw-native-kernel', 'go-cpu-fib']) {
    const bytes = gunzipSync(readFileSync(new URL(`pprof/${name}.pb.gz`, folder)))
    for (const depth of [0, 1, 3, 7]) {
      body.read(bytes, depth)
      const { profile, cut } = cutStacks(resolveStacks(decodePprof(bytes)), depth)
      expect(cut).toBeGreaterThan(0)
      // Stacks that became equal are one here, and their samples one sum.
      const sums = (ids: bigint[], values: BigInt64Array, width: number) => {
        const totals = new Map<bigint, bigint>()
        for (const [sample, id] of ids.entries())
          totals.set(id, (totals.get(id) ?? 0n) + values[sample * width]!)
        return new Map([...totals].sort(([a], [b]) => (a < b ? -1 : 1)))
      }
      const width = body.sampleTypes.length
      const ids = Array.from(body.sampleStack.subarray(0, body.samples), stack => idAt(body.stackIds, stack))
      const wanted = Array.from(profile.sampleStack, stack => profile.stackId[stack]!)
      expect(sums(ids, body.values, width)).toEqual(sums(wanted, profile.values, width))
      const stored = storedByBody(body) as { stacks: Map<bigint, unknown>; frames: Map<bigint, unknown> }
      expect(stored.stacks).toEqual((storedByColumns(profile) as typeof stored).stacks)
      const cutStack = body.stackIsCut.indexOf(1)
      const marker = body.stackFrame[body.stackOffset[cutStack + 1]! - 1]!
      expect([
        Buffer.from(body.functionName(body.frameFunction[marker]!)).toString(),
        body.modules[body.frameMapping[marker]!],
        body.frameKind(marker),
        body.isNamed(marker),
      ]).toEqual(['[truncated]', '[unwinder]', 'none', true])
    }
  }
})

test('1,000 mutated files give the ids, rows and refusals of resolveStacks', () => {
  const seeds = ['go-heap-small', 'go-inlined.cpu', 'node-perfmap', 'raw-native-kernel'].map(name =>
    gunzipSync(readFileSync(new URL(`pprof/${name}.pb.gz`, folder))),
  )
  let state = 1
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const body = new PprofBody()
  let accepted = 0
  for (let round = 0; round < 1000; round++) {
    const bytes = Uint8Array.from(seeds[round % seeds.length]!)
    for (let edits = 1 + random(4); edits > 0; edits--) bytes[random(bytes.length)]! ^= 1 << random(8)
    const ours = outcome(() => storedByBody(body.read(bytes)))
    expect(ours).toEqual(outcome(() => storedByColumns(resolveStacks(decodePprof(bytes)))))
    if (typeof ours !== 'string') accepted++
  }
  expect(accepted).toBeGreaterThan(50)
})

test('a list of locations in several fields is one list, whatever another sample shares with it', () => {
  // location_id [1, 2] packed, then 1 alone; then [1, 2] packed.
  const profile = encodePprof(
    profileFromColumns(`
    1  2
    a  a
    b  b`),
  )
  const body = new PprofBody()
  body.read(profile)
  expect([body.stacks, body.samples, [...body.values]]).toEqual([1, 1, [3n]])
  const withValue = (value: number) => [18, 1, value]
  const sample = (...bytes: number[]) => [18, bytes.length, ...bytes]
  const split = Uint8Array.from([
    ...profile,
    ...sample(10, 2, 1, 2, ...withValue(4)),
    ...sample(10, 2, 1, 2, 8, 1, ...withValue(5)),
    ...sample(10, 2, 1, 2, 10, 1, 1, ...withValue(6)),
    ...sample(8, 1, 8, 2, ...withValue(7)),
  ])
  body.read(split)
  expect([body.stacks, [...body.values]]).toEqual([2, [14n, 11n]])
  expect([...body.stackOffset.slice(0, 3)]).toEqual([0, 2, 5])
  expect(resolveStacks(decodePprof(split)).values).toEqual(body.values)
})
