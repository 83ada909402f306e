import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { createReader, type Reader } from './reader.ts'

const quiet = { info() {}, warn() {}, error() {} }
let folder: string
let engine: Engine
let client: StoreClient
const gate = { places: 1, longPlaces: 1, tenantPlaces: () => 1, tenantWaiting: () => 10, waitMs: 60_000 }
const limits = { timeoutMs: 1000, memoryBytes: 50_000_000, rows: 1000, gate }
let reader: Reader

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-reader-'))
  engine = await startEngine(defaultEngineSettings(folder), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 60_000 })
  reader = createReader(client, limits)
})
afterAll(async () => {
  await client?.close()
  await engine?.stop()
  await rm(folder, { recursive: true, force: true })
})

const usage = () => ({ rowsRead: 0, bytesRead: 0 })
const statement = (sql: string, params = {}) => ({ name: 'test', sql, params })

test('rows come as arrays, ids as text keep every digit', async () => {
  const read = usage()
  const rows = await reader.rows(
    statement('SELECT toString(toUInt64({id:String})), {text:String}, [1, 2]', {
      id: '18446744073709551615',
      text: "it's {a} \\ \n",
    }),
    read,
    undefined,
  )
  expect(rows).toEqual([['18446744073709551615', "it's {a} \\ \n", [1, 2]]])
  expect(read.rowsRead).toBeGreaterThan(0)
})

test.each([
  [
    'time',
    'SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))',
    'QUERY_TOO_SLOW',
    /STROBE_QUERY_TIMEOUT/,
  ],
  ['rows', 'SELECT number FROM numbers(1001)', 'QUERY_TOO_LARGE', /STROBE_QUERY_ROWS/],
  [
    'memory',
    'SELECT length(groupArray(toString(number))) FROM numbers(50000000)',
    'QUERY_TOO_LARGE',
    /needed [\d.]+ [KMG]iB, the limit is 50000000 bytes of memory \(STROBE_QUERY_MEMORY/,
  ],
  ['a wrong statement', 'SELECT nonsense', 'STORE_FAILED', /statement test/],
])('%s: %s ends with %s', async (_name, sql, code, message) => {
  const failure = reader.rows(statement(sql), usage(), undefined)
  await expect(failure).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})

test('a client that goes away ends its statement, and the next one in line runs', async () => {
  const slow = createReader(client, { ...limits, timeoutMs: 60_000 })
  const controller = new AbortController()
  const first = slow.rows(
    statement('SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))'),
    usage(),
    controller.signal,
  )
  const second = slow.rows(statement('SELECT 7'), usage(), undefined)
  const running = async () =>
    (
      await (
        await client.query({
          query:
            "SELECT count() AS n FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%system.processes%'",
          format: 'JSONEachRow',
        })
      ).json<{ n: string | number }>()
    )[0]!.n
  await expect.poll(running).toBe(1)
  controller.abort()
  await expect(first).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  expect(await second).toEqual([[7]])
  await expect.poll(running, { timeout: 10_000 }).toBe(0)
})

test('one that waits can go away too', async () => {
  const controller = new AbortController()
  controller.abort()
  const failure = reader.rows(statement('SELECT 1'), usage(), controller.signal)
  await expect(failure).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
})
