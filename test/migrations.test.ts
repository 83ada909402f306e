import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../server/src/engine/settings.ts'
import { type Engine, startEngine } from '../server/src/engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { migrate, migrations, readMeta, readMigrations } from '../server/src/storage/migrate.ts'
import { startTestServer } from './api-server.ts'
import { selectRows } from './ingest-process.ts'

const log = { info() {}, warn() {}, error() {} }
const receivedAt = Date.UTC(2026, 10, 25, 9, 3, 33)
let dataDir: string
let engine: Engine | null = null
let client: StoreClient

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'strobe-migrations-'))
})
afterEach(async () => {
  await close()
  rmSync(dataDir, { recursive: true, force: true })
})

async function open(): Promise<void> {
  engine = await startEngine(defaultEngineSettings(join(dataDir, 'engine')), log)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
}
async function close(graceMs?: number): Promise<void> {
  if (!engine) return
  await client.close()
  await engine.stop(graceMs)
  engine = null
}
function unpackFirstRelease(): void {
  const archive = fileURLToPath(new URL('data/first-release/data.tar.gz', import.meta.url))
  execFileSync('tar', ['-xzf', archive, '-C', dataDir, '--no-same-owner'])
}
async function tableNames(): Promise<string[]> {
  return (
    await selectRows(
      client,
      'SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name',
    )
  ).flat() as string[]
}
/** A client whose statements that change the store go through onCommand. */
function watched(onCommand: (sql: string, run: () => Promise<unknown>) => Promise<unknown>): StoreClient {
  return new Proxy(client, {
    get(target, key) {
      const value = Reflect.get(target, key) as unknown
      if (key === 'command')
        return (params: { query: string }) => onCommand(params.query, () => target.command(params))
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
/** Every table and migration of this version is there. */
async function expectCurrent(): Promise<void> {
  const wanted = migrations
    .flatMap(migration => migration.statements)
    .flatMap(sql => /CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS (\w+)/.exec(sql)?.[1] ?? [])
  expect(await tableNames()).toEqual(expect.arrayContaining(wanted))
  expect((await readMigrations(client)).sort()).toEqual(migrations.map(({ name }) => name).sort())
}

const samples = 'SELECT count(), sum(toInt128(value)), uniqExact(series_id), uniqExact(stack_id) FROM samples'

// fib twice, labels, stripped, the four types of heap, and the batches, as SOURCES.md has them.
const firstReleaseTotal =
  2 * 29_740_000_000 +
  27_220_000_000 +
  9_070_000_000 +
  (247_747 + 1_374_249_148 + 48_375 + 330_314_096) +
  12_009

test('the data of the first release answers as it did, through every later migration', async () => {
  unpackFirstRelease()
  const server = await startTestServer({ dataDir }, { now: () => receivedAt + 60_000 })
  try {
    const range = { from: receivedAt - 600_000, to: receivedAt + 60_000 }
    const functions = async (service: string) => {
      const { body } = await server.get('functions', {
        ...range,
        type: 'cpu',
        query: `{service_name="${service}"}`,
        sort: 'self',
        limit: 1,
      })
      const { total, functions: list } = body as {
        total: string | number
        functions: { name: string; self: string | number }[]
      }
      return [Number(total), list[0]!.name, Number(list[0]!.self)]
    }
    // Twice the figures of test/data/conformance/SOURCES.md: it was uploaded for two hosts.
    expect(await functions('fib')).toEqual([2 * 29_740_000_000, 'math/big.addVV', 2 * 28_610_000_000])
    expect(await functions('labels')).toEqual([27_220_000_000, 'fmt.(*fmt).fmtInteger', 4_360_000_000])
    // 0x4e354b there, less the start of the mapping.
    expect(await functions('stripped')).toEqual([
      9_070_000_000,
      'pprof-example-app-go+0xe354b',
      1_510_000_000,
    ])
    // Batches 1, 2 and 3: 2000 n + 3 each; 1000 n + 1 of it in the second series' leaf.
    expect(await functions('api')).toEqual([12_009, 'leaf 1', 6_003])
    const { body } = await server.get('services', range)
    expect(
      (body as { services: { name: string; versions: string[] }[] }).services.map(({ name, versions }) => [
        name,
        versions,
      ]),
    ).toEqual([
      ['api', []],
      ['fib', ['1.0', '1.1']],
      ['heap', []],
      ['labels', []],
      ['stripped', []],
    ])
  } finally {
    await server.stop()
  }
})

test('a kill before and during each statement leaves a store that the next start completes', async () => {
  unpackFirstRelease()
  await open()
  const before = await selectRows(client, samples)
  expect(Number((before[0] as unknown[])[1])).toBe(firstReleaseTotal)
  const kills = new Map<string, number>()
  for (let wasKilled = true; wasKilled; ) {
    wasKilled = false
    const dying = watched(async (sql, run) => {
      const before = kills.get(sql) ?? 0
      if (wasKilled || before === 2) return run()
      wasKilled = true
      kills.set(sql, before + 1)
      const running = before === 1 ? run() : Promise.reject(new Error('killed before it was sent'))
      running.catch(() => {})
      await new Promise(resolve => setImmediate(resolve))
      process.kill(engine!.state().pid, 'SIGKILL')
      return running
    })
    await migrate(dying).catch(() => {})
    await close(0)
    await open()
  }
  for (const { statements } of migrations.slice(1))
    for (const sql of statements) expect(kills.get(sql)).toBe(2)
  expect(await selectRows(client, samples)).toEqual(before)
  await expectCurrent()
})

test('a fresh store that stops after any statement is completed by the next start', async () => {
  await open()
  for (let last = 0; ; last++) {
    let commands = 0
    const stopping = watched(async (_sql, run) => {
      await run()
      if (commands++ === last) throw new Error('stopped')
    })
    if (
      await migrate(stopping).then(
        () => true,
        () => false,
      )
    )
      break
  }
  await expectCurrent()
})

test('two servers that migrate one store at once are harmless', async () => {
  unpackFirstRelease()
  await open()
  await Promise.all([migrate(client), migrate(client), migrate(client)])
  // What a migration fills from older tables is there once.
  expect(await selectRows(client, 'SELECT toUInt32(sum(profiles)) FROM totals_10m')).toEqual([[17]])
  await expectCurrent()
  const [first, second] = await Promise.all([
    readMeta(client, 'store_epoch'),
    readMeta(client, 'store_epoch'),
  ])
  expect(first).toMatch(/^[0-9a-f]{16}$/)
  expect(second).toBe(first)
})

test('a store of a newer version is refused and not touched', async () => {
  unpackFirstRelease()
  await open()
  await client.insert({ table: 'schema_migrations', values: [{ name: '9999-later' }], format: 'JSONEachRow' })
  const state = async () => [
    await selectRows(
      client,
      'SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() ORDER BY name',
    ),
    await selectRows(client, 'SELECT name FROM schema_migrations ORDER BY name'),
    await selectRows(client, 'SELECT key, value FROM meta ORDER BY key'),
  ]
  const before = await state()
  await expect(migrate(client)).rejects.toMatchObject({
    code: 'STORE_TOO_NEW',
    details: { unknown: ['9999-later'] },
  })
  expect(await state()).toEqual(before)
})
