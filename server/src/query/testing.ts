/** A real engine with profiles of small numbers for stacks and series, for tests of values. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_GROUP_LABELS } from '@strobe/profile'
import { defaultEngineSettings } from '../engine/settings.ts'
import { startEngine } from '../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../storage/client.ts'
import { migrate } from '../storage/migrate.ts'
import { createReader } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import type { QueryContext } from './context.ts'
import { readMeta } from './coverage.ts'
import { querySeries, type SeriesAnswer } from './series.ts'
import { readExactSums, readStackSums as readRows } from './tree/store-rows.ts'
import { readStackSums } from './trees.ts'

export const counter = 'memory:alloc_space:bytes:space:bytes'
export const gauge = 'memory:inuse_space:bytes:space:bytes'
export const cpu = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
export const hour = 3600
/** A whole hour, so that ranges that cross hours and partitions are easy to write. Times count from it, in seconds. */
const start = Date.UTC(2026, 10, 24, 22) / 1000

export interface Sent {
  series: number
  /** May have milliseconds. */
  at: number
  /** Value by stack id, or by `stack/labelset`. */
  values: Record<string, number | bigint>
  durationSeconds?: number
  flags?: number
}

export const usage = () => ({ rowsRead: 0, bytesRead: 0 })

export class ValuesStore {
  readonly #client: StoreClient
  readonly #close: () => Promise<void>
  readonly context: QueryContext
  #tenant = 0

  constructor(client: StoreClient, close: () => Promise<void>) {
    this.#client = client
    this.#close = close
    const reader = createReader(client, {
      timeoutMs: 30_000,
      memoryBytes: 1e9,
      rows: 1e6,
      gate: { places: 2, longPlaces: 2, tenantPlaces: () => 2, tenantWaiting: () => 100, waitMs: 60_000 },
    })
    // Trees are not built here.
    this.context = {
      reader,
      now: () => (start + 100 * hour) * 1000,
      keptFrom: () => 0,
      groupLabels: () => DEFAULT_GROUP_LABELS,
    } as Partial<QueryContext> as QueryContext
  }

  get tenant(): string {
    return `t${this.#tenant}`
  }

  /** Each test has a tenant of its own: that is cheaper than to empty tables. */
  nextTenant(): void {
    this.#tenant++
  }

  insert(table: string, rows: object[]): Promise<unknown> {
    const values = rows.map(row => ({ tenant: this.tenant, ...row }))
    return this.#client.insert({ table, values, format: 'JSONEachRow' })
  }

  /** Stores profiles in the order given, a few in each insert, as two servers would that share a balancer. */
  async send(type: string, list: Sent[], perInsert = 3): Promise<void> {
    for (let first = 0; first < list.length; first += perInsert) {
      const rows = list.slice(first, first + perInsert).map(profile => {
        const entries = Object.entries(profile.values)
        return {
          service: 'api',
          type,
          time: (start + profile.at).toFixed(3),
          series_id: String(profile.series),
          duration_ns: String((profile.durationSeconds ?? 0) * 1e9),
          flags: profile.flags ?? 0,
          stack_ids: entries.map(([key]) => key.split('/')[0]),
          labelset_ids: entries.map(([key]) => key.split('/')[1] ?? '0'),
          vals: entries.map(([, value]) => String(value)),
        }
      })
      await this.insert('ingest', rows)
    }
  }

  scopeOf(type: string, from: number, to: number, matchers: Scope['matchers'] = []) {
    return {
      tenant: this.tenant,
      range: { from: start + from, to: start + to },
      types: [type],
      type,
      matchers,
    }
  }

  /** Weight by stack id and the divisor. */
  async sums(
    type: string,
    from: number,
    to: number,
    matchers: Scope['matchers'] = [],
  ): Promise<{ weights: Record<string, bigint>; divisor: number }> {
    const scope = this.scopeOf(type, from, to, matchers)
    const { rows, divisor } = await readStackSums(this.context, scope, null, usage(), undefined)
    const { ids, count } = readRows(rows, false)
    const weights = readExactSums(rows, false)
    const entries = Array.from({ length: count }, (_, place) => [ids[2 * place], weights[place]!])
    return { weights: Object.fromEntries(entries), divisor }
  }

  async means(type: string, from: number, to: number): Promise<Record<string, number>> {
    const { weights, divisor } = await this.sums(type, from, to)
    return Object.fromEntries(Object.entries(weights).map(([id, weight]) => [id, Number(weight) / divisor]))
  }

  metaOf(type: string, from: number, to: number): ReturnType<typeof readMeta> {
    return readMeta(this.context, this.scopeOf(type, from, to), usage(), undefined)
  }

  async seriesOf(
    type: string,
    from: number,
    to: number,
    points: number,
    by: string[] = [],
  ): Promise<SeriesAnswer['series']> {
    const edges = { from: String((start + from) * 1000), to: String((start + to) * 1000) }
    const input = { type, query: '', ...edges, by, points }
    return (await querySeries(this.context, this.tenant, input, undefined)).series
  }

  close(): Promise<void> {
    return this.#close()
  }
}

/** Starts the engine and makes the tables. */
export async function openValues(): Promise<ValuesStore> {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-values-'))
  const engine = await startEngine(defaultEngineSettings(folder), { info() {}, warn() {}, error() {} })
  const client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
  return new ValuesStore(client, async () => {
    await client.close()
    await engine.stop()
    rmSync(folder, { recursive: true, force: true })
  })
}
