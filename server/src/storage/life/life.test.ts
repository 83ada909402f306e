import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { deleteAllData } from '../delete-data.ts'
import { formatSeconds } from '../format-seconds.ts'
import { migrate } from '../migrate.ts'
import { type ExpireOptions, expire } from './expire.ts'
import { defaultWindows, rowSeconds, type Windows, windowOf } from './windows.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-life-'))
const day = 86_400
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
beforeEach(() => deleteAllData(client))

// 'brief' keeps less of everything, in a class of its own; 'long' keeps samples longer than the others.
const own: Record<string, Windows> = {
  brief: {
    ...defaultWindows,
    samples: 3 * day * 1000,
    series_1h: 10 * day * 1000,
    totals_1m: 5 * day * 1000,
  },
  long: { ...defaultWindows, samples: 30 * day * 1000 },
}
const windowsOf = (tenant: string) => own[tenant] ?? defaultWindows
const classOf = (tenant: string, table: string) => (tenant === 'brief' && table !== 'level_state' ? 1 : 0)
const tenants = ['acme', 'brief', 'long']

function options(nowMs: number, change: Partial<ExpireOptions> = {}): ExpireOptions {
  return {
    client,
    nowMs,
    defaults: { windows: defaultWindows, class: 0 },
    own: new Map(
      Object.entries(own).map(([tenant, windows]) => [
        tenant,
        { windows, class: classOf(tenant, 'samples') },
      ]),
    ),
    ledgerKeepMs: 15 * day * 1000,
    maxDeletes: 100,
    onRemoved() {},
    pace: async () => {},
    ...change,
  }
}

/** Start of the partition that a time lies in, and of the next one. */
const spans: Record<string, (seconds: number) => [number, number]> = {
  samples: ofDay,
  profiles: ofDay,
  group_10m: ofDay,
  totals_1m: ofWeek,
  series_1h: ofWeek,
  instance_functions_10m: ofWeek,
  group_1h: ofMonth,
  functions_1h: ofMonth,
  totals_10m: ofMonth,
  level_state: ofMonth,
}
function ofDay(seconds: number): [number, number] {
  const start = Math.floor(seconds / day) * day
  return [start, start + day]
}
function ofWeek(seconds: number): [number, number] {
  // 1970-01-05 was a Monday.
  const start = Math.floor((seconds - 4 * day) / (7 * day)) * 7 * day + 4 * day
  return [start, start + 7 * day]
}
function ofMonth(seconds: number): [number, number] {
  const date = new Date(seconds * 1000)
  const start = (months: number) => Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1) / 1000
  return [start(0), start(1)]
}

interface Row {
  tenant: string
  time: number
}

async function insert(table: string, rows: Row[]): Promise<void> {
  // The engine takes a hundred partitions at once.
  for (const tenant of tenants)
    await client.insert({
      table,
      values: rows
        .filter(row => row.tenant === tenant)
        .map(({ tenant, time }) => ({
          tenant,
          time: table === 'profiles' ? formatSeconds(time * 1000) : time,
          // A row of sums that are all 0 is dropped at merges.
          ...(table === 'totals_1m' ? { value: 1 } : {}),
          ...(table === 'level_state' ? { level: 'group_1h' } : { retention: classOf(tenant, table) }),
        })),
      format: 'JSONEachRow',
    })
}

async function rowsOf(table: string): Promise<string[]> {
  const result = await client.query({
    query: `SELECT tenant, toUInt32(toDateTime(time)) AS at FROM ${table} ORDER BY tenant, at`,
    format: 'JSONCompactEachRow',
  })
  return ((await result.json()) as unknown as [string, number][]).map(([tenant, at]) => `${tenant} ${at}`)
}

/** Two rows a day of each tenant, the later one an hour before the day ends. */
function rowsOverDays(days: number): Row[] {
  return tenants.flatMap(tenant =>
    Array.from({ length: days }, (_, index) => [
      { tenant, time: start + index * day + 7 * 3600 },
      { tenant, time: start + (index + 1) * day - 3600 },
    ]).flat(),
  )
}
const start = Date.UTC(2026, 0, 1) / 1000

test.each(Object.keys(spans))(
  '%s: rows go with their window, by whole partitions, and no earlier',
  async table => {
    const days = spans[table] === ofDay ? 6 : 49
    const rows = rowsOverDays(days)
    await insert(table, rows)
    const seconds = rowSeconds(table)
    // The last row of a tenant in a partition decides: to the second before its end, and at it.
    const lastOf = (tenant: string, time: number) => {
      const [from, to] = spans[table]!(time)
      const shared = rows.filter(
        row => row.time >= from && row.time < to && classOf(row.tenant, table) === classOf(tenant, table),
      )
      return Math.max(...shared.map(row => row.time)) + seconds
    }
    const isThere = (row: Row, nowS: number) =>
      lastOf(row.tenant, row.time) > nowS - windowOf(windowsOf(row.tenant), table) / 1000
    const limits = ['brief', 'acme', 'long'].map(tenant => {
      const last = lastOf(tenant, start + Math.floor(days / 2) * day)
      return last + windowOf(windowsOf(tenant), table) / 1000
    })
    const moments = [...new Set(limits.flatMap(limit => [limit - 1, limit]))].sort((a, b) => a - b)
    for (const nowS of moments) {
      await expire(options(nowS * 1000))
      const left = await rowsOf(table)
      expect(left).toEqual(
        rows
          .filter(row => isThere(row, nowS))
          .map(row => `${row.tenant} ${row.time}`)
          .sort(),
      )
      const start = (tenant: string) => nowS - windowOf(windowsOf(tenant), table) / 1000
      const has = new Set(left)
      for (const { tenant, time } of rows) {
        // What a query may ask for is there; what is older than the window and its partition is not.
        if (time + seconds > start(tenant)) expect(has).toContain(`${tenant} ${time}`)
        if (spans[table]!(time)[1] + seconds <= start(tenant)) expect(has).not.toContain(`${tenant} ${time}`)
      }
    }
    expect((await rowsOf(table)).length).toBeLessThan(rows.length)
  },
)
