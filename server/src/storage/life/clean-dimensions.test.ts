import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodePprof, PprofBody, type Profile } from '@strobe/profile'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { BatchEncoder, SeenScopes } from '../batch-encoder.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { Journal } from '../journal.ts'
import { migrate } from '../migrate.ts'
import { SeenIds } from '../seen-ids.ts'
import { defaultStorageSettings } from '../settings.ts'
import { Store } from '../store.ts'
import { cleanDimensions, firstKeptDay } from './clean-dimensions.ts'
import { expire } from './expire.ts'
import { defaultWindows } from './windows.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-dimensions-'))
const dayMs = 86_400_000
let engine: Engine
let client: StoreClient

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
}, 60_000)
afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

async function select<Row>(query: string): Promise<Row> {
  const result = await client.query({ query, format: 'JSONCompactEachRow' })
  return ((await result.json()) as unknown as Row[])[0]!
}
const count = async (from: string) => (await select<[number]>(`SELECT toUInt32(count()) FROM ${from}`))[0]

/** One sample of value 1 for each stack, leaf first; a thread label for every other one. */
function bodyOf(stacks: string[][]): PprofBody {
  const names = [...new Set(stacks.flat())]
  const offsets = [0]
  for (const stack of stacks) offsets.push(offsets.at(-1)! + stack.length)
  const cpu = { type: 'cpu', unit: 'nanoseconds' }
  const profile: Profile = {
    sampleTypes: [cpu],
    defaultSampleType: '',
    periodType: cpu,
    period: 1n,
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
    values: new BigInt64Array(stacks.length).fill(1n),
    labelOffset: Uint32Array.from({ length: stacks.length + 1 }, (_, index) => index),
    labelKey: new Uint32Array(stacks.length),
    labelString: Int32Array.from({ length: stacks.length }, (_, index) => 1 + (index % 2)),
    labelNumber: new BigInt64Array(stacks.length),
    labelUnit: new Int32Array(stacks.length).fill(-1),
    labelStrings: ['thread', stacks[0]![0]!, 'main'],
  }
  return new PprofBody().read(encodePprof(profile))
}

test('over five weeks of random batches no sample loses what it names, and what none names goes', async () => {
  let state = 7
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) / 2 ** 24
  }
  const start = Date.UTC(2026, 0, 1)
  let nowMs = start
  const store = new Store({
    client,
    journal: new Journal(join(folder, 'journal')),
    settings: defaultStorageSettings(),
    log: quiet,
    metrics: {
      insertedRows() {},
      insertRetried() {},
      groupReplayed() {},
      insertSeconds() {},
      contested() {},
      fenced() {},
    },
    now: () => nowMs,
  })
  const encoder = new BatchEncoder(new SeenIds(store.seenIdsBuffer), new SeenScopes(Buffer.from('secret')))
  // Three days of everything, so that five weeks see many generations.
  const windows = Object.fromEntries(
    Object.keys(defaultWindows).map(name => [name, 3 * dayMs]),
  ) as unknown as typeof defaultWindows
  let deleted = 0
  let batches = 0
  for (let day = 0; day < 37; day++) {
    for (let part = 0; part < 1 + (day % 2); part++) {
      nowMs = Math.floor(start + (day + part / 2 + random() / 2) * dayMs)
      // Functions come, stay for some weeks or seconds, and come again.
      const era = Math.floor(day / 10) * 5
      const stack = () =>
        Array.from({ length: 1 + Math.floor(random() * 4) }, () => `f${era + Math.floor(random() * 12)}`)
      const body = bodyOf([stack(), stack(), ['once', `only ${batches}`]])
      const service = random() < 0.5 ? 'api' : 'web'
      encoder.begin(
        random() < 0.5 ? 'acme' : 'default',
        Buffer.from(`batch ${batches++}`.padEnd(16, '.')),
        nowMs,
      )
      encoder.add(
        {
          series: {
            service,
            type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
            seriesId: BigInt(1 + Math.floor(day / 10)),
            groupId: 1n,
            labels: [{ name: 'service_name', value: service }],
          },
          // By clocks that are a little ahead, and from spools of two days.
          timeMs: Math.floor(nowMs + (random() < 0.2 ? 600_000 : -random() * 2 * dayMs)),
          durationNs: 10_000_000_000n,
          period: 1n,
          expected: 0n,
          lost: 0n,
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
      await store.write([encoder.finish()])
    }
    if (day % 3 > 0) continue
    nowMs = start + (day + 1) * dayMs
    await expire({
      client,
      nowMs,
      defaults: { windows, class: 0 },
      own: new Map(),
      ledgerKeepMs: 15 * dayMs,
      maxDeletes: 10,
      onRemoved() {},
      pace: async () => {},
    })
    deleted += (await cleanDimensions(client, nowMs)).reduce((sum, { rows }) => sum + rows, 0)
    const missing = await select<number[]>(
      `SELECT ${[
        'samples WHERE (tenant, service, stack_id) NOT IN (SELECT tenant, service, stack_id FROM stacks)',
        `(SELECT tenant, arrayJoin(frames) AS frame_id FROM stacks WHERE (tenant, service, stack_id) IN (SELECT tenant, service, stack_id FROM samples))
          WHERE (tenant, frame_id) NOT IN (SELECT tenant, frame_id FROM frames)`,
        `frames WHERE (tenant, frame_id) IN (SELECT tenant, arrayJoin(frames) FROM stacks WHERE (tenant, service, stack_id) IN (SELECT tenant, service, stack_id FROM samples))
          AND (tenant, function_id) NOT IN (SELECT tenant, function_id FROM functions)`,
        'samples WHERE labelset_id != 0 AND (tenant, labelset_id) NOT IN (SELECT tenant, labelset_id FROM labelsets)',
        'profiles WHERE (tenant, series_id) NOT IN (SELECT tenant, series_id FROM series)',
      ]
        .map(from => `(SELECT toUInt32(count()) FROM ${from})`)
        .join(', ')}`,
    )
    expect({ day, missing }).toEqual({ day, missing: [0, 0, 0, 0, 0] })
  }
  expect(deleted).toBeGreaterThan(100)
  // 22 days after its last sample at most a function is gone: 14 of the journal, 5 of lag and a partition's.
  expect(await count("functions WHERE name = 'only 0'")).toBe(0)
  expect(await count("functions WHERE name = 'once'")).toBeGreaterThan(0)
  expect(await count('series WHERE series_id = 1')).toBe(0)
}, 120_000)

test('rows stay as long as the oldest sample, and never less than a journal may wait', () => {
  const nowMs = Date.UTC(2026, 5, 30)
  const today = nowMs / dayMs
  const partition = (daysAgo: number) => ({
    ...{ table: 'samples', id: '0-1', class: 0, rows: 1, bytes: 1 },
    from: (today - daysAgo) * 86_400,
    to: (today - daysAgo) * 86_400 + 1,
  })
  expect(firstKeptDay([partition(400), partition(3)], nowMs)).toBe(today - 405)
  expect(firstKeptDay([partition(3)], nowMs)).toBe(today - 19)
  // A clock that is ahead makes nothing go sooner.
  expect(firstKeptDay([partition(-2)], nowMs)).toBe(today - 19)
  expect(firstKeptDay([], nowMs)).toBe(today - 19)
})
