import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'
import { selectRows } from './ingest-process.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const start = Date.UTC(2026, 10, 10, 10, 20)
const from = Date.UTC(2026, 10, 10, 9)
const to = Date.UTC(2026, 10, 10, 12)
let clock = start
let server: TestServer
let store: StoreClient

beforeAll(async () => {
  server = await startTestServer({ lifeIntervalMs: '200ms', levelIntervalMs: '200ms' }, { now: () => clock })
  store = createStoreClient(
    { kind: 'socket', socketPath: `${server.dataDir}/engine/engine.sock` },
    { requestTimeoutMs: 30_000 },
  )
  await server.push(await readConformance('pprof/go-cpu-fib.pb.gz'), {
    service: 'fib',
    'label.host_name': 'h1',
  })
  await server.push(await readConformance('pprof/go-heap-small.pb.gz'), { service: 'heap' })
})
afterAll(async () => {
  await store?.close()
  await server?.stop()
})

interface Answer {
  total: number
  meta: { from: number; askedFrom?: number; levels?: string[] }
}
async function flamegraph(
  query: string,
  range: { from: number; to: number },
  type = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
) {
  const { body } = await server.get('flamegraph', { type, query, ...range })
  if (!(body as Answer).meta) throw new Error(JSON.stringify(body))
  const { total, meta } = body as Answer
  return { total, from: meta.from, askedFrom: meta.askedFrom, levels: meta.levels }
}
const cpu = 29_740_000_000
const fib = '{service_name="fib"}'
const host = '{host_name="h1"}'
const heap = 'memory:inuse_space:bytes:space:bytes'

test('a query shows what the window of each level keeps, says where that begins, and what nobody keeps is removed', async () => {
  expect(await flamegraph(fib, { from, to })).toMatchObject({ total: cpu, askedFrom: undefined })
  const rows = async (...tables: string[]) =>
    Object.fromEntries(
      await Promise.all(
        tables.map(async table => [
          table,
          ((await selectRows(store, `SELECT toUInt32(count()) FROM ${table}`)) as [[number]])[0][0],
        ]),
      ),
    )
  const known = await rows('stacks', 'frames', 'functions', 'series', 'profiles')
  expect(known).toMatchObject({ series: 5, profiles: 5 })
  clock = start + 3 * hour
  await vi.waitFor(
    async () => expect(await flamegraph(fib, { from, to })).toMatchObject({ levels: ['group_1h'] }),
    {
      timeout: 30_000,
      interval: 200,
    },
  )

  // The last second of the samples' 14 days, and the next.
  clock = start + 14 * day
  const odd = { from: start - 5 * minute, to }
  expect(await flamegraph(fib, { from: start, to: start + minute })).toMatchObject({
    total: cpu,
    askedFrom: undefined,
  })
  clock += 1000
  expect(await flamegraph(fib, { from: start, to: start + minute })).toMatchObject({
    total: 0,
    from: start + 1000,
    askedFrom: start,
  })
  // Whole hours are kept longer; where a range begins inside one, with the first sample that is left or the next hour.
  expect(await flamegraph(fib, { from, to })).toMatchObject({ total: cpu, askedFrom: undefined })
  expect(await flamegraph(host, { from, to })).toMatchObject({ total: cpu, levels: ['series_1h'] })
  expect(await flamegraph(fib, odd)).toMatchObject({ total: 0, from: start + 1000, askedFrom: odd.from })
  clock = start + 14 * day + hour
  expect(await flamegraph(fib, odd)).toMatchObject({ total: 0, from: from + 2 * hour, askedFrom: odd.from })
  // A gauge has no levels.
  expect(await flamegraph('{service_name="heap"}', { from, to }, heap)).toMatchObject({
    total: 0,
    from: start + hour,
    askedFrom: from,
  })

  const waitEmpty = (...tables: string[]) =>
    vi.waitFor(
      async () => expect(await rows(...tables)).toEqual(Object.fromEntries(tables.map(table => [table, 0]))),
      {
        timeout: 90_000,
        interval: 200,
      },
    )
  clock = start + 15 * day
  await waitEmpty('samples', 'group_10m')
  expect(await rows(...Object.keys(known))).toEqual(known)

  // By host for 90 days, by service for 400, to the hour.
  clock = Date.UTC(2026, 10, 10, 10) + 90 * day + 1000
  expect(await flamegraph(host, { from, to })).toMatchObject({
    total: 0,
    from: from + 2 * hour,
    askedFrom: from,
  })
  expect(await flamegraph(fib, { from, to })).toMatchObject({ total: cpu })
  clock = Date.UTC(2026, 10, 10, 10) + 98 * day
  await waitEmpty('series_1h', 'profiles', 'totals_1m', 'batches')
  clock = Date.UTC(2026, 10, 10, 10) + 400 * day
  expect(await flamegraph(fib, { from, to })).toMatchObject({ total: cpu })
  clock += 1000
  expect(await flamegraph(fib, { from, to })).toMatchObject({
    total: 0,
    from: from + 2 * hour,
    askedFrom: from,
  })

  clock = start + 460 * day
  await waitEmpty(
    'group_1h',
    'functions_1h',
    'totals_10m',
    'level_state',
    'stacks',
    'frames',
    'functions',
    'series',
  )
  expect(await flamegraph(fib, { from, to })).toMatchObject({ total: 0, from: to, askedFrom: from })
})
