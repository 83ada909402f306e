import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { defaultEngineSettings } from './settings.ts'
import { type Engine, startEngine } from './supervisor.ts'

const log = { info() {}, warn() {}, error() {} }
const dataDir = mkdtempSync(join(tmpdir(), 'strobe-engine-'))
let engine: Engine

const settings = { ...defaultEngineSettings(dataDir), memoryBytes: 1_000_000_000, queryConnections: 2 }
const clientOf = (socketPath: string) =>
  createClient({
    url: 'http://localhost',
    http_agent: new http.Agent({ socketPath, keepAlive: true } as http.AgentOptions),
    keep_alive: { enabled: true },
    request_timeout: 60_000,
    log: { level: ClickHouseLogLevel.OFF },
  })
let client: ReturnType<typeof clientOf>

beforeAll(async () => {
  engine = await startEngine(settings, log)
  client = clientOf(engine.address.socketPath)
  await client.command({
    query:
      "CREATE TABLE t (a UInt64, b String DEFAULT upper('x')) ENGINE MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
  })
}, 60_000)

afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(dataDir, { recursive: true, force: true })
}, 60_000)

async function rows<T>(query: string, extra: object = {}): Promise<T[]> {
  return (await client.query({ query, format: 'JSONEachRow', ...extra })).json<T>()
}

test('the official client pings, and the socket is its owner’s alone', async () => {
  expect(await client.ping()).toEqual({ success: true })
  expect(statSync(engine.address.socketPath).mode & 0o777).toBe(0o600)
})

test('the memory ceiling and the caches are ours, not a whole machine’s', async () => {
  expect(
    await rows(
      `SELECT name, value FROM system.server_settings WHERE name IN ('max_server_memory_usage', 'mark_cache_size', 'index_mark_cache_size') ORDER BY name`,
    ),
  ).toEqual([
    { name: 'index_mark_cache_size', value: '62500000' },
    { name: 'mark_cache_size', value: '62500000' },
    { name: 'max_server_memory_usage', value: '1000000000' },
  ])
})

test('merges take more parts at once than by default, in every table', async () => {
  expect(
    await rows(`SELECT value, changed FROM system.merge_tree_settings WHERE name = 'merge_selector_base'`),
  ).toEqual([{ value: '10', changed: 1 }])
  await expect(
    rows('SELECT uniqExact(number) FROM numbers(100000000) SETTINGS max_memory_usage = 0'),
  ).rejects.toMatchObject({ code: '241' })
})

test('selects with parameters and settings, and neither sticks', async () => {
  expect(
    await rows('SELECT {s:String} AS s, {n:UInt64} AS n, {l:Array(UInt64)} AS l', {
      query_params: { s: "a'\t\\\n;é", n: 18446744073709551615n, l: [1n, 2n] },
      clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
    }),
  ).toEqual([{ s: "a'\t\\\n;é", n: '18446744073709551615', l: ['1', '2'] }])
  await rows('SELECT 1', { clickhouse_settings: { max_block_size: '7' } })
  for (let time = 0; time < settings.queryConnections * 2; time++) {
    expect(await rows("SELECT toUInt32(getSetting('max_block_size')) > 7 AS free")).toEqual([{ free: 1 }])
    await expect(rows('SELECT {s:String}')).rejects.toThrow(/`?s`? is not set/)
  }
})

test('inserts rows as text, with defaults, whatever stands in them', async () => {
  const text = 'semi;colon \'"`\\ \u0000 \n newline é'
  await client.insert({ table: 't', values: [{ a: 1, b: text }, { a: 2 }], format: 'JSONEachRow' })
  expect(await rows('SELECT a, b FROM t WHERE a IN (1, 2) ORDER BY a', settingsQuoted)).toEqual([
    { a: '1', b: text },
    { a: '2', b: 'X' },
  ])
})

const settingsQuoted = { clickhouse_settings: { output_format_json_quote_64bit_integers: 1 as const } }

function rowBinary(from: number, count: number): Buffer {
  const parts: Buffer[] = []
  for (let row = from; row < from + count; row++) {
    const fixed = Buffer.alloc(9)
    fixed.writeBigUInt64LE(BigInt(row))
    fixed[8] = 3
    parts.push(fixed, Buffer.from([0xff, 0x00, 0x3b]))
  }
  return Buffer.concat(parts)
}

async function insertBinary(body: Buffer, token: string) {
  const { stream } = await client.exec({
    query: `INSERT INTO t (a, b) SETTINGS insert_deduplication_token='${token}' FORMAT RowBinary`,
    values: Readable.from([body], { objectMode: false }),
  } as Parameters<typeof client.exec>[0])
  for await (const _ of stream);
}

test('inserts binary rows byte for byte, and a token once', async () => {
  const body = rowBinary(1000, 200_000)
  await insertBinary(body, 'one')
  await insertBinary(body, 'one')
  await insertBinary(rowBinary(1000, 1), 'two')
  expect(
    await rows(
      "SELECT count() AS n, countIf(hex(b) = 'FF003B') AS same FROM t WHERE a >= 1000",
      settingsQuoted,
    ),
  ).toEqual([{ n: '200001', same: '200001' }])
})

test('errors come as ClickHouse’s', async () => {
  await expect(rows('SELECT nothing')).rejects.toMatchObject({ code: '47', type: 'UNKNOWN_IDENTIFIER' })
  await expect(rows('SELECT * FROM missing')).rejects.toMatchObject({ code: '60', type: 'UNKNOWN_TABLE' })
  await expect(
    rows('SELECT sum(sleepEachRow(0.01)) FROM numbers(10000) SETTINGS max_block_size = 10', {
      clickhouse_settings: { max_execution_time: 1 },
    }),
  ).rejects.toMatchObject({ code: '159' })
})

test('a failure after the first rows is never a short answer', async () => {
  const result = await client.query({
    query: 'SELECT throwIf(number = 900000) AS v, number FROM numbers(1000000)',
    format: 'JSONEachRow',
  })
  await expect(result.json()).rejects.toThrow()
})

test('an answer that is waited for says what was read for it', async () => {
  await client.command({ query: 'CREATE TABLE w (a UInt64, b String) ENGINE MergeTree ORDER BY a' })
  await client.command({ query: "INSERT INTO w SELECT number, 'x\\n}' FROM numbers(300000)" })
  const ask = (query: string, format: 'JSONCompactEachRow' | 'JSONEachRow') =>
    client.query({ query, format, clickhouse_settings: { wait_end_of_query: 1 } })
  const compact = await ask('SELECT toUInt32(sum(a) % 1000), any(b) FROM w', 'JSONCompactEachRow')
  expect(JSON.parse(String(compact.response_headers['x-clickhouse-summary']))).toMatchObject({
    read_rows: '300000',
    result_rows: '1',
  })
  expect(await compact.json()).toEqual([[0, 'x\n}']])
  const named = await ask('SELECT toUInt32(a) AS a, b FROM w WHERE a < 3 ORDER BY a', 'JSONEachRow')
  expect(await named.json()).toEqual([0, 1, 2].map(a => ({ a, b: 'x\n}' })))
  expect(await (await ask('SELECT a FROM w WHERE a > 300000', 'JSONEachRow')).json()).toEqual([])
  await expect(ask('SELECT throwIf(a = 299999) FROM w', 'JSONEachRow')).rejects.toMatchObject({ code: '395' })
})

test('rows that a failed statement had written never come with the next one', async () => {
  await client.command({ query: 'CREATE TABLE f (a UInt64) ENGINE MergeTree ORDER BY a' })
  await client.command({ query: 'INSERT INTO f SELECT number FROM numbers(300000)' })
  for (const format of ['JSONCompact', 'CSVWithNames', 'TabSeparated'] as const) {
    for (let time = 0; time < settings.queryConnections; time++) {
      const failing = client.query({ query: 'SELECT throwIf(a = 299999), a FROM f ORDER BY a', format })
      await expect(failing.then(result => result.text())).rejects.toThrow()
    }
    for (let time = 0; time < settings.queryConnections * 2; time++) {
      expect(await (await client.query({ query: 'SELECT 1', format: 'CSV' })).text()).toBe('1\n')
      expect(await (await client.query({ query: 'SELECT 1 AS a', format: 'CSVWithNames' })).text()).toBe(
        '"a"\n1\n',
      )
    }
  }
})

test('streams more than it holds and answers documents whole', async () => {
  const result = await client.query({ query: 'SELECT number FROM numbers(3000000)', format: 'JSONEachRow' })
  let count = 0
  for await (const batch of result.stream()) count += batch.length
  expect(count).toBe(3_000_000)
  const document = await (
    await client.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSON' })
  ).json()
  expect(document.data.length).toBe(200_000)
})

test('a client that leaves ends its query', async () => {
  const controller = new AbortController()
  const running = client.query({
    query: 'SELECT sum(sleepEachRow(0.01)) /* leaver */ FROM numbers(1000000) SETTINGS max_block_size = 10',
    format: 'JSONEachRow',
    abort_signal: controller.signal,
  })
  const isRunning = () =>
    rows<{ n: string }>(
      "SELECT count() AS n FROM system.processes WHERE query LIKE '%leaver%' AND query NOT LIKE '%processes%'",
      settingsQuoted,
    ).then(found => found[0]?.n)
  await vi.waitFor(async () => expect(await isRunning()).toBe('1'), { timeout: 10_000 })
  controller.abort()
  await expect(running).rejects.toThrow(/abort/i)
  await vi.waitFor(async () => expect(await isRunning()).toBe('0'), { timeout: 10_000 })
})

test('a second engine on the folder is told who has it', async () => {
  await expect(startEngine({ ...settings, lockWaitMs: 0 }, log)).rejects.toMatchObject({
    code: 'ENGINE_LOCKED',
  })
  expect(await client.ping()).toEqual({ success: true })
}, 30_000)

test('comes back after a crash with its rows, and leaves nothing when stopped', async () => {
  const folder = mkdtempSync(join(tmpdir(), `strobe-engine-${'long'.repeat(20)}-`))
  let restarts = 0
  const other = await startEngine({ ...settings, dataDir: folder }, log, { onRestart: () => restarts++ })
  if (other.address.kind !== 'socket') throw new Error('no socket')
  const { socketPath } = other.address
  const own = clientOf(socketPath)
  try {
    await own.command({ query: 'CREATE TABLE k (a UInt64) ENGINE MergeTree ORDER BY a' })
    await own.insert({ table: 'k', values: [{ a: 1 }], format: 'JSONEachRow' })
    const { pid } = other.state()
    process.kill(pid, 'SIGKILL')
    await vi.waitFor(() => expect(other.state()).toMatchObject({ isReady: true, restarts: 1 }), {
      timeout: 30_000,
    })
    expect(other.state().pid).not.toBe(pid)
    expect(restarts).toBe(1)
    await vi.waitFor(
      async () =>
        expect(await (await own.query({ query: 'SELECT a FROM k', format: 'CSV' })).text()).toBe('1\n'),
      { timeout: 10_000 },
    )
  } finally {
    await own.close()
    const { pid } = other.state()
    await other.stop()
    expect(
      execFileSync('ps', ['-o', 'pid=', '-p', `${pid}`, '--ppid', '1'], { encoding: 'utf8' }).split(/\s+/),
    ).not.toContain(String(pid))
    expect(existsSync(socketPath)).toBe(false)
    rmSync(folder, { recursive: true, force: true })
  }
}, 90_000)
