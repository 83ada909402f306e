import { afterEach, expect, test } from 'vitest'
import type { CompareInput, SideInput } from './compare-sides.ts'
import { type Comparer, createComparer } from './comparer.ts'

let comparer: Comparer
afterEach(() => comparer?.stop())

/** weights: self weights of functions f0, f1, ... in one replicate. */
function side(weights: number[], samples: number): SideInput {
  const frames = weights.map((_, index) => ({
    name: `f${index}`,
    file: '',
    module: '',
    kind: 'native' as const,
  }))
  const selves = new DataView(new ArrayBuffer(24 * weights.length))
  for (const [index, weight] of weights.entries()) {
    selves.setBigUint64(24 * index, 7n, true)
    selves.setBigUint64(24 * index + 8, BigInt(index), true)
    selves.setFloat64(24 * index + 16, weight, true)
  }
  return {
    stacks: {
      stackOffset: Uint32Array.from({ length: weights.length + 1 }, (_, stack) => stack),
      stackFrame: Uint32Array.from(weights, (_, stack) => stack),
      frames,
      values: Float64Array.from(weights),
      ids: Uint32Array.from(weights.flatMap((_, stack) => [stack, 0])),
    },
    replicates: [{ id: '7', samples, seconds: 10, value: weights.reduce((sum, weight) => sum + weight, 0) }],
    selfRows: new Uint8Array(selves.buffer),
  }
}

const input = (more: Partial<CompareInput> = {}): CompareInput => ({
  a: side([4000, 6000], 10_000),
  b: side([6000, 6000], 12_000),
  ...{ normalize: 'share', nodes: 100, limit: 100 },
  ...more,
})

test('compares in a thread, again and several at once', async () => {
  comparer = createComparer(30_000)
  const first = await comparer.run(input(), undefined)
  expect(first.functions[0]).toMatchObject({ name: 'f0', state: 'slower', selfA: 0.4, selfB: 0.5 })
  expect(first.tree.nodes.totalA).toEqual([1, expect.closeTo(0.6, 10), expect.closeTo(0.4, 10)])
  const both = await Promise.all([
    comparer.run(input(), undefined),
    comparer.run(input({ limit: 1 }), undefined),
  ])
  expect(both.map(({ functions, omitted }) => [functions.length, omitted.functions])).toEqual([
    [2, 0],
    [1, 1],
  ])
})

test('one that nobody waits for is ended, and the next one works', async () => {
  comparer = createComparer(30_000)
  const gone = new AbortController()
  const running = comparer.run(input(), gone.signal)
  gone.abort()
  await expect(running).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  await expect(comparer.run(input(), gone.signal)).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  expect((await comparer.run(input(), undefined)).verdict.state).toBe('slower')
})

test('one that takes too long is ended', async () => {
  comparer = createComparer(1)
  const many = Array.from({ length: 20_000 }, (_, index) => 1 + (index % 7))
  await expect(
    comparer.run(input({ a: side(many, 1e6), b: side(many, 1e6) }), undefined),
  ).rejects.toMatchObject({ code: 'QUERY_TOO_SLOW' })
})
