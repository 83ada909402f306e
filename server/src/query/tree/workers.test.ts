import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterEach, expect, test } from 'vitest'
import { CodedError } from '../../errors.ts'
import type { TreeRequest } from './protocol.ts'
import type { Load } from './stack-loader.ts'
import { createFakeStore, type FakeStack, seededNumbers } from './testing.ts'
import { createTreeWorker, type TreeWorker } from './workers.ts'

const limits = { nodes: 8_000_000, frames: 100_000_000, timeoutMs: 60_000 }
const tree = { kind: 'flamegraph', nodes: 2500, depth: 400, at: '' } as const
const request = {
  tenant: 'a',
  group: 'function',
  focus: '',
  hide: '',
  divisor: 1,
  work: tree,
  limits,
} satisfies TreeRequest

let worker: TreeWorker | undefined
afterEach(() => worker?.stop())

const frames = Array.from({ length: 5000 }, (_, index) => ({ name: `function_${index}`, module: 'app' }))

/** Stacks whose first frames are few and whose last ones are many, as those of programs are. */
function manyStacks(count: number, depth: number): FakeStack[] {
  const random = seededNumbers(5)
  return Array.from({ length: count }, () => ({
    frames: Array.from({ length: depth }, (_, at) => random(at < 3 ? 5000 : 2)),
    value: BigInt(1 + random(100)),
  }))
}

test('a hundred thousand stacks and one of 2,000 frames leave the event loop alone', async () => {
  const stacks = [
    ...manyStacks(100_000, 20),
    { frames: Array.from({ length: 2000 }, (_, at) => at), value: 500_000n },
  ]
  const store = createFakeStore(frames, stacks)
  worker = createTreeWorker({ cacheBytes: 2 ** 26 })
  const sums = store.sums()
  const whole = stacks.reduce((sum, { value }) => sum + Number(value), 0)
  await worker.run(request, Uint8Array.from(sums), store.load, undefined)
  // Now the cache is warm: all of the work is the thread's.
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const answer = await worker.run(request, sums, store.load, undefined)
  delay.disable()
  expect(answer.tree.total[0]).toBe(whole)
  expect(answer.tree.parent.length).toBeGreaterThan(2000)
  expect(Math.round(delay.max / 1e6)).toBeLessThan(100)
  const names = answer.tree.frames.map(frame => frame.name)
  expect(names).toContain('1600 deeper frames')
})

test('a small query is answered while a large one is put together', async () => {
  const large = createFakeStore(frames, manyStacks(60_000, 20))
  const small = createFakeStore([{ name: 'f' }], [{ frames: [0], value: 1n }])
  worker = createTreeWorker({ cacheBytes: 2 ** 26 })
  await worker.run(request, large.sums(), large.load, undefined)
  const order: string[] = []
  await Promise.all([
    worker.run(request, large.sums(), large.load, undefined).then(() => order.push('large')),
    worker
      .run({ ...request, tenant: 'b' }, small.sums(), small.load, undefined)
      .then(() => order.push('small')),
  ])
  expect(order).toEqual(['small', 'large'])
})

test('large trees are built one at a time, and one that is dropped lets the next go on', async () => {
  const random = seededNumbers(8)
  // No two stacks share more than their first frames: over a million nodes.
  const wide = Array.from({ length: 12_000 }, () => ({
    frames: Array.from({ length: 100 }, () => random(5000)),
    value: 1n,
  }))
  const store = createFakeStore(frames, wide)
  worker = createTreeWorker({ cacheBytes: 2 ** 26 })
  await worker.run(request, store.sums(), store.load, undefined)
  const controllers = Array.from({ length: 3 }, () => new AbortController())
  const answers = controllers.map(({ signal }) => worker!.run(request, store.sums(), store.load, signal))
  controllers[1]!.abort()
  const results = await Promise.allSettled(answers)
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(results.flatMap(each => (each.status === 'fulfilled' ? [each.value.total] : []))).toEqual([
    12_000, 12_000,
  ])
})

test('a query that is dropped stops in the thread', async () => {
  const store = createFakeStore(frames, manyStacks(60_000, 20))
  const ended: string[] = []
  const done = Promise.withResolvers<void>()
  worker = createTreeWorker(
    { cacheBytes: 2 ** 26 },
    {
      onJob({ failure }) {
        ended.push(failure)
        done.resolve()
      },
    },
  )
  const controller = new AbortController()
  const started = Promise.withResolvers<void>()
  const load: Load = async (kind, ids) => {
    started.resolve()
    return store.load(kind, ids)
  }
  const failure = worker.run(request, store.sums(), load, controller.signal)
  await started.promise
  controller.abort()
  await expect(failure).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  await done.promise
  expect(ended).toEqual(['QUERY_CANCELLED'])
})

test('a query that is dropped while it waits for another one to load stops nobody', async () => {
  const store = createFakeStore(frames, manyStacks(3000, 20))
  worker = createTreeWorker({ cacheBytes: 2 ** 26 })
  const isLoading = Promise.withResolvers<void>()
  const isDropped = Promise.withResolvers<void>()
  const slow: Load = async (kind, ids) => {
    isLoading.resolve()
    await isDropped.promise
    return store.load(kind, ids)
  }
  const first = worker.run(request, store.sums(), slow, undefined)
  await isLoading.promise
  const controller = new AbortController()
  const small = createFakeStore([{ name: 'f' }], [{ frames: [0], value: 1n }])
  const second = worker.run({ ...request, tenant: 'b' }, small.sums(), small.load, controller.signal)
  const third = worker.run({ ...request, tenant: 'c' }, store.sums(), store.load, undefined)
  controller.abort()
  await expect(second).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  isDropped.resolve()
  const whole = (await first).whole
  expect((await third).whole).toBe(whole)
})

test('a store that fails in the middle fails the query, with its code', async () => {
  const store = createFakeStore([{ name: 'f' }], [{ frames: [0], value: 1n }])
  worker = createTreeWorker({ cacheBytes: 2 ** 20 })
  const load: Load = async (kind, ids) => {
    if (kind === 'frames') throw new CodedError('STORE_NOT_READY', 'away')
    return store.load(kind, ids)
  }
  await expect(worker.run(request, store.sums(), load, undefined)).rejects.toMatchObject({
    code: 'STORE_NOT_READY',
    status: 503,
  })
  // The next one finds the thread in order.
  expect((await worker.run(request, store.sums(), store.load, undefined)).total).toBe(1)
})

test('time is a limit too', async () => {
  const store = createFakeStore(frames, manyStacks(60_000, 20))
  worker = createTreeWorker({ cacheBytes: 2 ** 26 })
  const late = { ...request, limits: { ...limits, timeoutMs: 30 } }
  await expect(worker.run(late, store.sums(), store.load, undefined)).rejects.toMatchObject({
    code: 'QUERY_TOO_SLOW',
    details: { limitMs: 30 },
  })
})

test('queries that wait are told when the server stops', async () => {
  const never: Load = () => new Promise(() => {})
  const store = createFakeStore([{ name: 'f' }], [{ frames: [0], value: 1n }])
  worker = createTreeWorker({ cacheBytes: 2 ** 20 })
  const waiting = worker.run(request, store.sums(), never, undefined)
  const failure = expect(waiting).rejects.toMatchObject({ code: 'SERVER_STOPPING' })
  await worker.stop()
  await failure
})
