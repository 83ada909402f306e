import { expect, test } from 'vitest'
import type { Generation } from './generation.ts'
import { StackCache } from './stack-cache.ts'
import { seededNumbers } from './testing.ts'

/** Adds a stack of new frames whose names tell which they are. */
function addStack(cache: StackCache, id: number, depth: number, owner = 0): number {
  const frames = new Uint32Array(2 * depth)
  for (let at = 0; at < depth; at++) {
    frames[2 * at] = id * 1000 + at
    frames[2 * at + 1] = at
  }
  return cache.add(id, ~id >>> 0, owner, frames, (into, low, high) =>
    into.addFrame(low, high, owner, {
      name: into.texts.addText(`function ${low} of ${owner}`),
      file: into.texts.addText(`file ${low % 7}`),
      module: 0,
      kind: 'native',
      systemName: 0,
      startLine: 1,
      line: low % 100,
      buildId: 0,
      addressLow: 0,
      addressHigh: 0,
    }),
  )
}

function namesOf(generation: Generation, stack: number): string[] {
  const names: string[] = []
  for (let at = generation.stackStart(stack); at < generation.stackEnd(stack); at++)
    names.push(generation.frameFacts(generation.stackFrames[at]!).name)
  return names
}

const wantedNames = (id: number, depth: number, owner = 0) =>
  Array.from({ length: depth }, (_, at) => `function ${id * 1000 + at} of ${owner}`)

test.each([0, 2 ** 16, 2 ** 20, 2 ** 23])(
  '%i bytes are never passed by more than an empty cache has',
  maxBytes => {
    const empty = new StackCache(maxBytes).byteLength
    const cache = new StackCache(maxBytes)
    const random = seededNumbers(3)
    let most = 0
    for (let step = 0; step < 20_000; step++) {
      const id = step % 3 === 0 ? random(200) : 200 + random(5000)
      const depth = 1 + (id % 40)
      const known = cache.find(id, ~id >>> 0, 0)
      const stack = known >= 0 ? known : addStack(cache, id, depth)
      expect(namesOf(cache.found, stack)).toEqual(wantedNames(id, depth))
      most = Math.max(most, cache.byteLength)
    }
    expect(most).toBeLessThanOrEqual(Math.max(maxBytes, 2 * empty))
  },
)

test('what is used stays, what is not goes', () => {
  const cache = new StackCache(2 ** 20)
  addStack(cache, 1, 10)
  addStack(cache, 2, 10)
  for (let id = 3; id < 3000; id++) {
    addStack(cache, id, 10)
    expect(cache.find(1, ~1 >>> 0, 0)).toBeGreaterThanOrEqual(0)
  }
  expect(namesOf(cache.found, cache.find(1, ~1 >>> 0, 0))).toEqual(wantedNames(1, 10))
  expect(cache.find(2, ~2 >>> 0, 0)).toBe(-1)
})

test('tenants share nothing', () => {
  const cache = new StackCache(2 ** 20)
  const [a, b] = [cache.ownerOf('a'), cache.ownerOf('b')]
  addStack(cache, 5, 3, a)
  expect(cache.find(5, ~5 >>> 0, b)).toBe(-1)
  expect(cache.hasFrame(5000, 0, b)).toBe(false)
  const other = addStack(cache, 5, 3, b)
  expect(namesOf(cache.found, other)).toEqual(wantedNames(5, 3, b))
})

test('ids that differ in one half only stay apart', () => {
  const cache = new StackCache(2 ** 20)
  const make = (into: Generation, low: number, high: number) =>
    into.addFrame(low, high, 0, {
      name: into.texts.addText(`${low}/${high}`),
      file: 0,
      module: 0,
      kind: 'jit',
      systemName: 0,
      startLine: 0,
      line: 0,
      buildId: 0,
      addressLow: 0,
      addressHigh: 0,
    })
  for (const [low, high] of [
    [1, 2],
    [2, 1],
    [1, 1],
    [0, 0],
  ] as const)
    cache.add(low, high, 0, Uint32Array.of(high, low), make)
  const stack = cache.find(2, 1, 0)
  expect(namesOf(cache.found, stack)).toEqual(['1/2'])
  expect(cache.find(2, 2, 0)).toBe(-1)
})
