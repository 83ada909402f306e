import { mkdtempSync, readdirSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodePprof, groupId, PprofBody, type Profile, profileTypeId, seriesId } from '@strobe/profile'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../engine/settings.ts'
import { type Engine, startEngine } from '../engine/supervisor.ts'
import { BatchEncoder, type EncodedBatch, SeenScopes } from './batch-encoder.ts'
import { createStoreClient, type StoreClient } from './client.ts'
import { deleteAllData } from './delete-data.ts'
import { Journal } from './journal.ts'
import { migrate, migrations, readMeta } from './migrate.ts'
import { SeenIds } from './seen-ids.ts'
import { defaultStorageSettings } from './settings.ts'
import { Store, type StoreMetrics } from './store.ts'
import { writeAgents } from './write-agents.ts'

const log = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-store-'))
let engine: Engine
let client: StoreClient

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), log)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
}, 60_000)

afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const tables = [
  'samples',
  'profiles',
  'totals_1m',
  'stacks',
  'frames',
  'functions',
  'series',
  'labelsets',
  'sample_labels',
  'batches',
  'agents',
]
beforeEach(async () => {
  clockMs = nowMs
  for (const table of tables) await client.command({ query: `TRUNCATE TABLE ${table}` })
})

/** Samples as `leaf;root value`, all of process_cpu. */
function bodyOf(...lines: string[]): PprofBody {
  const names = [
    ...new Set(lines.flatMap(line => line.split(' ')[0]!.split(';')).filter(name => name !== '')),
  ]
  const stacks = lines.map(line =>
    line
      .split(' ')[0]!
      .split(';')
      .filter(name => name !== ''),
  )
  const offsets = [0]
  for (const stack of stacks) offsets.push(offsets.at(-1)! + stack.length)
  const profile: Profile = {
    sampleTypes: [{ type: 'cpu', unit: 'nanoseconds' }],
    defaultSampleType: '',
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    period: 10n,
    timeNanos: 0n,
    durationNanos: 0n,
    comments: [],
    mappings: [{ start: 0n, limit: 0n, offset: 0n, file: '/bin/app', buildId: 'abc' }],
    functions: names.map(name => ({ name, systemName: name, file: 'app.c', startLine: 1 })),
    locationAddress: new BigUint64Array(names.length),
    locationMapping: new Int32Array(names.length),
    lineOffset: Uint32Array.from({ length: names.length + 1 }, (_, index) => index),
    lineFunction: Int32Array.from(names.keys()),
    lineNumber: new Uint32Array(names.length).fill(7),
    stackOffset: Uint32Array.from(offsets),
    stackLocation: Uint32Array.from(stacks.flat().map(name => names.indexOf(name))),
    values: BigInt64Array.from(lines.map(line => BigInt(line.split(' ')[1]!))),
    labelOffset: new Uint32Array(lines.length + 1),
    labelKey: new Uint32Array(0),
    labelString: new Int32Array(0),
    labelNumber: new BigInt64Array(0),
    labelUnit: new Int32Array(0),
    labelStrings: [],
  }
  return new PprofBody().read(encodePprof(profile))
}

const type = profileTypeId(
  'process_cpu',
  { type: 'cpu', unit: 'nanoseconds' },
  { type: 'cpu', unit: 'nanoseconds' },
)
const nowMs = Date.UTC(2026, 10, 25, 4, 0, 0)

const scopes = new SeenScopes(Buffer.from('secret'))

function batch(store: Store, name: string, ...lines: string[]): EncodedBatch {
  const labels = [
    { name: 'host_name', value: name },
    { name: 'service_name', value: 'api' },
  ]
  const body = bodyOf(...lines)
  const encoder = new BatchEncoder(new SeenIds(store.seenIdsBuffer), scopes)
  encoder.begin('default', Buffer.from(name.padEnd(16, '.')), nowMs)
  encoder.add(
    {
      series: {
        service: 'api',
        type,
        seriesId: seriesId(labels, type),
        groupId: groupId(labels),
        labels,
      },
      timeMs: nowMs - 10_000,
      durationNs: 10_000_000_000n,
      period: 10n,
      expected: 5n,
      lost: 1n,
      truncated: 0n,
      unsymbolized: 0n,
      flags: 0,
      originalTimeMs: 0,
      retention: 0,
      samples: Uint32Array.from({ length: body.samples }, (_, sample) => sample),
      column: 0,
    },
    body,
  )
  return encoder.finish()
}

const counts: Record<string, number> = {}
const metrics: StoreMetrics = {
  insertedRows(table, rows) {
    counts[table] = (counts[table] ?? 0) + rows
  },
  insertRetried() {},
  groupReplayed(outcome) {
    counts[outcome] = (counts[outcome] ?? 0) + 1
  },
  insertSeconds() {},
  contested() {},
  fenced() {},
}

let journals = 0
let clockMs = nowMs
function openStore(onStep?: (step: string) => void, journalFolder = join(folder, `journal-${journals++}`)) {
  for (const key of Object.keys(counts)) delete counts[key]
  const store = new Store({
    client,
    journal: new Journal(journalFolder),
    settings: { ...defaultStorageSettings(), retryMinMs: 10 },
    log,
    metrics,
    now: () => clockMs,
    ...(onStep ? { onStep } : {}),
  })
  return { store, journalFolder }
}

async function select(query: string): Promise<unknown[]> {
  return (await client.query({ query, format: 'JSONCompactEachRow' })).json()
}

test('a profile is spread over the tables with everything its samples point at', async () => {
  const { store, journalFolder } = openStore()
  await store.write([batch(store, 'b0', 'fib;main 30', 'print;main 12', ' 8')])
  expect(
    await select(
      `SELECT sum(value), arrayStringConcat(arrayMap(id -> dictionary[id], st.frames), ';') AS path FROM samples s
       LEFT JOIN stacks st USING (tenant, service, stack_id)
       CROSS JOIN (SELECT mapFromArrays(groupArray(frame_id), groupArray(name)) AS dictionary FROM frames JOIN functions USING (tenant, function_id)) d
       GROUP BY path ORDER BY path`.replaceAll('sum(value)', 'toInt32(sum(value))'),
    ),
  ).toEqual([
    [8, ''],
    [30, 'fib;main'],
    [12, 'print;main'],
  ])
  expect(
    await select(
      'SELECT toInt32(value), stacks, toInt32(expected), toInt32(lost), toUnixTimestamp(time) FROM profiles',
    ),
  ).toEqual([[50, 3, 5, 1, nowMs / 1000 - 10]])
  expect(
    await select(
      'SELECT toInt32(sum(value)), toUInt32(sum(profiles)), toInt32(sum(covered_ns) / 1000000000) FROM totals_1m',
    ),
  ).toEqual([[50, 1, 10]])
  expect(
    await select('SELECT name, system_name, file, start_line, module FROM functions ORDER BY name'),
  ).toEqual([
    ['fib', 'fib', 'app.c', 1, 'app'],
    ['main', 'main', 'app.c', 1, 'app'],
    ['print', 'print', 'app.c', 1, 'app'],
  ])
  expect(await select('SELECT DISTINCT line, module, build_id, kind FROM frames')).toEqual([
    [7, 'app', 'abc', 'native'],
  ])
  expect(
    await select(
      "SELECT service, type, labels['host_name'], toUnixTimestamp(first_seen), toUnixTimestamp(last_seen) FROM series",
    ),
  ).toEqual([['api', type, 'b0', nowMs / 1000 - 10, nowMs / 1000]])
  expect(readdirSync(journalFolder)).toEqual([])
})

test('a profile whose values pass 2^63 together keeps its sum, also by the minute', async () => {
  const { store } = openStore()
  const most = String(2n ** 62n)
  await store.write([
    batch(store, 'b0', `a ${most}`, `b ${most}`),
    batch(store, 'b1', `a ${most}`, `b ${most}`),
  ])
  expect(await select('SELECT DISTINCT toString(value) FROM profiles')).toEqual([[String(2n ** 63n)]])
  await client.command({ query: 'OPTIMIZE TABLE totals_1m FINAL' })
  expect(await select('SELECT toString(sum(value)), toUInt32(sum(profiles)) FROM totals_1m')).toEqual([
    [String(2n ** 64n), 2],
  ])
})

test('what the store has of a stack is not sent again until the next day', async () => {
  const { store } = openStore()
  await store.write([batch(store, 'b0', 'fib;main 1')])
  await store.write([batch(store, 'b1', 'fib;main 1')])
  expect(counts).toMatchObject({ stacks: 1, frames: 2, functions: 2, series: 2, ingest: 2, batches: 2 })
})

test('in a store that was emptied everything is sent again', async () => {
  const { store } = openStore()
  await store.write([batch(store, 'b0', 'fib;main 1')])
  await store.empty(() => deleteAllData(client))
  await store.write([batch(store, 'b0', 'fib;main 1')])
  expect(await select('SELECT toUInt32(uniqExact(stack_id)) FROM samples')).toEqual([[1]])
  expect(await select('SELECT toUInt32(uniqExact(stack_id)) FROM stacks')).toEqual([[1]])
  expect(await select('SELECT toUInt32(uniqExact(frame_id)) FROM frames')).toEqual([[2]])
})

test('a store whose epoch changed behind our back is another store', async () => {
  const { store } = openStore()
  await store.write([batch(store, 'b0', 'fib;main 1')])
  await deleteAllData(client)
  clockMs += 10_000
  // It was encoded without the rows that went: its sender is told to come again.
  await expect(store.write([batch(store, 'b1', 'fib;main 1')])).rejects.toMatchObject({
    code: 'STORE_NOT_READY',
    details: { retryAfterMs: 1_000 },
  })
  await store.write([batch(store, 'b1', 'fib;main 1')])
  expect(await select('SELECT toUInt32(uniqExact(stack_id)) FROM stacks')).toEqual([[1]])
})

test('the ledger knows a batch from memory and from the table', async () => {
  const first = openStore().store
  await first.write([batch(first, 'b0', 'a 1'), batch(first, 'b1', 'a 1')])
  const key = (name: string) => `default/${Buffer.from(name.padEnd(16, '.')).toString('hex')}`
  expect(first.ledger.isRecent(key('b0'))).toBe(true)
  const restarted = openStore().store
  expect(restarted.ledger.isRecent(key('b0'))).toBe(false)
  expect([...(await restarted.selectStored([key('b0'), key('b1'), key('b2')]))].sort()).toEqual([
    key('b0'),
    key('b1'),
  ])
})

// The process ends between two steps: what the journal holds is all that is left.
for (const step of ['journaled', 'inserted', 'recorded'] as const) {
  test(`a group whose process ended after "${step}" is there once after the replay`, async () => {
    const { store, journalFolder } = openStore(reached => {
      if (reached === step) throw Object.assign(new Error('power cut'), { code: '62' })
    })
    const batches = [batch(store, 'b0', 'fib;main 30'), batch(store, 'b1', 'fib;main 12')]
    // setAside is what a refused group meets; a cut meets nothing, so the file is put back.
    await expect(store.write(batches)).rejects.toThrow(/power cut/)
    if (step === 'inserted') {
      const [name] = readdirSync(join(journalFolder, 'refused'))
      renameSync(join(journalFolder, 'refused', name!), join(journalFolder, name!))
    }
    const restarted = openStore(undefined, journalFolder).store
    await restarted.replay()
    await restarted.replay()
    expect(await select('SELECT toInt32(sum(value)), toUInt32(count()) FROM samples')).toEqual([[42, 2]])
    expect(await select('SELECT toUInt32(count()) FROM profiles')).toEqual([[2]])
    expect(await select('SELECT toInt32(sum(value)), toUInt32(sum(profiles)) FROM totals_1m')).toEqual([
      [42, 2],
    ])
    expect(await select('SELECT toUInt32(uniqExact(batch_id)) FROM batches')).toEqual([[2]])
    expect(await select('SELECT toUInt32(uniqExact(stack_id)) FROM stacks')).toEqual([[1]])
    expect(readdirSync(journalFolder).filter(name => name.endsWith('.group'))).toEqual([])
  })
}

test('a damaged group is set aside, not replayed', async () => {
  const { store, journalFolder } = openStore(step => {
    if (step === 'journaled') throw new Error('power cut')
  })
  await expect(store.write([batch(store, 'b0', 'a 1')])).rejects.toThrow()
  const [name] = readdirSync(journalFolder)
  truncateSync(join(journalFolder, name!), 100)
  await openStore(undefined, journalFolder).store.replay()
  expect(counts).toMatchObject({ damaged: 1 })
  expect(readdirSync(join(journalFolder, 'refused'))).toEqual([name])
  expect(await select('SELECT toUInt32(count()) FROM profiles')).toEqual([[0]])
})

test('migrations may run again, and ids of another rule are refused', async () => {
  const epoch = await readMeta(client, 'store_epoch')
  await migrate(client)
  expect(
    await select('SELECT name, toUInt32(count()) FROM schema_migrations GROUP BY name ORDER BY name'),
  ).toEqual(migrations.map(({ name }) => [name, 1]))
  expect(await readMeta(client, 'store_epoch')).toBe(epoch)
  await client.insert({
    table: 'meta',
    values: [{ key: 'identity_rule_version', value: '999' }],
    format: 'JSONEachRow',
  })
  await expect(migrate(client)).rejects.toMatchObject({ code: 'STORE_IDENTITY_MISMATCH' })
  await client.command({ query: "ALTER TABLE meta DELETE WHERE value = '999' SETTINGS mutations_sync = 2" })
  await migrate(client)
})

test('heartbeats keep their milliseconds and their counters', async () => {
  await writeAgents(client, 'default', [
    {
      host: 'h1',
      version: '1',
      kernel: '6.1',
      state: 'degraded',
      reason: 'no "BTF"',
      startedAtMs: nowMs + 123,
      checks: [{ name: 'btf', ok: false, detail: 'd', fix: 'f' }],
      counters: { samples: '18446744073709551615' },
      lastSeenMs: nowMs + 456,
    },
  ])
  expect(
    await select(
      "SELECT host, state, reason, toUnixTimestamp64Milli(started_at) - 1790000000000, toUnixTimestamp64Milli(last_seen) - 1790000000000, checks, JSONExtractString(counters, 'samples') FROM agents",
    ),
  ).toEqual([
    [
      'h1',
      'degraded',
      'no "BTF"',
      nowMs + 123 - 1_790_000_000_000,
      nowMs + 456 - 1_790_000_000_000,
      '[{"name":"btf","ok":false,"detail":"d","fix":"f"}]',
      '18446744073709551615',
    ],
  ])
})

test('a heartbeat that does not say when its agent started is kept', async () => {
  const agent = {
    host: 'h2',
    version: '1',
    kernel: '6.1',
    state: 'healthy',
    reason: '',
    checks: [],
    counters: {},
  }
  await writeAgents(client, 'default', [{ ...agent, startedAtMs: 0, lastSeenMs: nowMs }])
  expect(await select("SELECT toUnixTimestamp64Milli(started_at) FROM agents WHERE host = 'h2'")).toEqual([
    [0],
  ])
})
