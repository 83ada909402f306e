import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { deleteAllData } from '../delete-data.ts'
import { migrate } from '../migrate.ts'
import { DiskGuard, type DiskGuardOptions, orderByAge } from './disk-guard.ts'
import type { Partition } from './partitions.ts'
import { defaultWindows } from './windows.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-disk-'))
const day = 86_400
const mib = 2 ** 20
const nowMs = Date.UTC(2026, 10, 25, 12)
const today = nowMs / 1000 - day / 2
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
beforeEach(async () => {
  await deleteAllData(client)
  await client.command({
    query: "ALTER TABLE meta DELETE WHERE key = 'freed_until' SETTINGS mutations_sync = 1",
  })
})

/** Some 400 kB that do not compress, on each of the days ago. */
async function fill(table: string, daysAgo: number[]): Promise<void> {
  for (const ago of daysAgo)
    await client.command({
      query: `INSERT INTO ${table} (tenant, service, type, time, ${table === 'samples' ? 'series_id, stack_id, value' : 'run_id, stack_id, value'})
        SELECT 'default', 'api', 't', toDateTime(${today - ago * day}) + number % 3600, rand64(number), rand64(number + 1), 1
        FROM numbers(25000)`,
    })
}

async function daysAgoOf(table: string): Promise<number[]> {
  const result = await client.query({
    query: `SELECT DISTINCT toUInt32((${today} - toUnixTimestamp(toStartOfDay(time))) / ${day}) AS ago FROM ${table} ORDER BY ago`,
    format: 'JSONCompactEachRow',
  })
  return ((await result.json()) as unknown as [number][]).map(([ago]) => ago)
}

function guardOf(change: Partial<DiskGuardOptions>, freed: string[] = []): DiskGuard {
  return new DiskGuard({
    client,
    measure: async () => ({ freeBytes: 100 * mib, totalBytes: 1000 * mib }),
    settings: { freeBytes: 40 * mib, refuseBytes: 10 * mib, storeBytes: 0 },
    windows: defaultWindows,
    now: () => nowMs,
    log: quiet,
    onFreed: ({ table, id }) => freed.push(`${table} ${id}`),
    ...change,
  })
}

test('while there is room nothing goes and everything is taken', async () => {
  await fill('samples', [9, 1, 0])
  const guard = guardOf({})
  await guard.look()
  expect(guard.state).toMatchObject({ state: 'ok', reason: '', freeBytes: 100 * mib, freedUntil: {} })
  expect(guard.state.storeBytes).toBeGreaterThan(mib)
  guard.checkRoom()
  expect(await daysAgoOf('samples')).toEqual([0, 1, 9])
})

test('a store above its limit loses its oldest days, until it is below', async () => {
  await fill('samples', [9, 8, 7, 6, 0])
  const measured = guardOf({})
  await measured.look()
  const storeBytes = Math.floor(measured.state.storeBytes * 0.6)
  const freed: string[] = []
  const guard = guardOf({ settings: { freeBytes: 0, refuseBytes: 0, storeBytes } }, freed)
  await guard.look()
  // 40 % of five days and a tenth more are three days.
  expect(freed).toEqual(['samples 0-20261116', 'samples 0-20261117', 'samples 0-20261118'])
  expect(await daysAgoOf('samples')).toEqual([0, 6])
  expect(guard.state.state).toBe('ok')
  expect(guard.state.freedUntil).toEqual({ samples: today - 7 * day + 3600 })
  // Another server, or this one after a restart, knows it too.
  const other = guardOf({})
  await other.look()
  expect(other.state.freedUntil).toEqual(guard.state.freedUntil)
  await guard.look()
  expect(freed).toHaveLength(3)
})

test('on a disk that fills the oldest goes, but nothing that is still written to; below the second mark nothing is taken', async () => {
  await fill('samples', [5, 0])
  const guard = guardOf({ measure: async () => ({ freeBytes: 5 * mib, totalBytes: 1000 * mib }) })
  await guard.look()
  expect(await daysAgoOf('samples')).toEqual([0])
  expect(guard.state.state).toBe('refusing')
  expect(() => guard.checkRoom()).toThrow(
    expect.objectContaining({
      code: 'STORE_FULL',
      message: expect.stringMatching(/^5\.0 MiB are free .* below 10\.0 MiB \(STROBE_DISK_REFUSE\)/),
      details: { observed: 5 * mib, limit: 10 * mib, retryAfterMs: 30_000 },
    }) as Error,
  )
})

test('of a small disk a share counts', async () => {
  const guard = guardOf({ measure: async () => ({ freeBytes: 4 * mib, totalBytes: 100 * mib }) })
  await guard.look()
  expect(guard.state.state).toBe('freeing')
  guard.checkRoom()
})

test('each level loses what has lived the largest share of its window', () => {
  const of = (table: string, daysAgo: number, bytes = 1): Partition => ({
    ...{ table, id: `${table}-${daysAgo}`, class: 0, rows: 1, bytes },
    from: nowMs / 1000 - daysAgo * day - 3600,
    to: nowMs / 1000 - daysAgo * day,
  })
  // Shares: samples 7/14, series_1h 60/90, group_1h 100/400, group_10m 1.5/2, profiles 45/90.
  const partitions = [
    of('group_1h', 100),
    of('samples', 7),
    of('samples', 0.5),
    of('series_1h', 60),
    of('group_10m', 1.5),
    of('profiles', 45, 2),
  ]
  expect(orderByAge(partitions, defaultWindows, nowMs).map(({ id }) => id)).toEqual([
    'group_10m-1.5',
    'series_1h-60',
    'profiles-45',
    'samples-7',
    'group_1h-100',
  ])
})
