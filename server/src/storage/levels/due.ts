import type { StoreClient } from '../client.ts'
import { isLeveled, type Level, type LevelName, levels, type PeriodKey } from './level.ts'
import type { LevelSettings } from './settings.ts'

/** A period that no run of a level has summed as it is now. */
export interface DueRow extends PeriodKey {
  tenant: string
  samples: number
  /** late: a run stands, of fewer profiles. retry: a run began and does not stand. */
  reason: 'new' | 'late' | 'retry'
}

/** Runs of one level and tenant that cannot count any more. */
export interface LostRuns {
  tenant: string
  level: LevelName
  /** First and last period, unix s. */
  from: number
  to: number
  /** Decimal text. */
  runIds: string[]
}

const dueAtOnce = 20_000
const lostAtOnce = 1_000

type Row = (string | number | string[])[]

async function select<T extends Row>(
  client: StoreClient,
  query: string,
  query_params: Record<string, string | number | string[]>,
): Promise<T[]> {
  const result = await client.query({ query, query_params, format: 'JSONCompactEachRow' })
  return (await result.json()) as unknown as T[]
}

/**
 * Closed and settled periods of the types that add up, newest first, at most 20,000: newest are asked for most. A
 * period whose runs keep failing comes back after longer and longer pauses; a run of another job that has begun
 * counts as one for the first of them.
 */
export async function selectDue(
  client: StoreClient,
  level: Level,
  settings: LevelSettings,
  nowMs: number,
): Promise<DueRow[]> {
  const backMs =
    level.name === 'group_10m' ? Math.min(settings.shortKeepMs, settings.lookbackMs) : settings.lookbackMs
  const floor = (ms: number) => Math.max(0, Math.floor(ms / 1000 / level.seconds) * level.seconds)
  const from = floor(nowMs - backMs)
  const to = floor(nowMs - settings.closeDelayMs)
  // Fences (../fence.ts) are rows without a tenant.
  const isProfiled = "tenant != '' AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})"
  const types = (
    await select<[type: string]>(client, `SELECT DISTINCT type FROM totals_10m WHERE ${isProfiled}`, {
      from,
      to,
    })
  ).flatMap(([type]) => (isLeveled(type) ? [type] : []))
  if (types.length === 0) return []
  const isDerived = level.source !== 'samples'
  const period = level.seconds === 3600 ? 'toStartOfHour(time)' : 'time'
  const state = (name: string) => `FROM level_state WHERE level = {${name}:String}
      AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32}) GROUP BY tenant, service, type, period`
  const source = isDerived
    ? `ANY LEFT JOIN (SELECT tenant, service, type, time AS period,
          groupArrayIf((profiles, at, run_id), step = 'recorded') AS runs ${state('source')}) AS o USING (tenant, service, type, period)`
    : ''
  const sourceRun = isDerived
    ? 'arrayReverseSort(arrayFilter(run -> run.1 = p.profiles, runs))[1].3'
    : 'toUInt64(1)'
  const rows = await select<[string, string, string, number, number, string, DueRow['reason']]>(
    client,
    `SELECT tenant, service, type, toUInt32(p.period), toFloat64(p.samples), toString(${sourceRun} AS source_run),
        multiIf(notEmpty(recorded), 'late', failed > 0, 'retry', 'new')
      FROM (SELECT tenant, service, type, ${period} AS period, sum(profiles) AS profiles, sum(samples) AS samples
        FROM totals_10m WHERE ${isProfiled} AND type IN {types:Array(String)}
        GROUP BY tenant, service, type, period
        HAVING profiles > 0 AND max(received_at) <= toDateTime({settled:UInt32})) AS p
      ANY LEFT JOIN (SELECT tenant, service, type, time AS period, groupUniqArrayIf(profiles, step = 'recorded') AS recorded,
          toInt64(countIf(step = 'begun')) - toInt64(countIf(step = 'recorded')) AS failed, max(at) AS tried_at
        ${state('level')}) AS s USING (tenant, service, type, period)
      ${source}
      WHERE NOT has(recorded, p.profiles) AND source_run != 0
        AND (failed <= 0 OR toUnixTimestamp64Milli(tried_at) <= toInt64({now:String}) - {retry:UInt32} * exp2(least(failed - 1, 8)))
      ORDER BY tenant, toStartOfHour(p.period) DESC, service, type, p.period LIMIT ${dueAtOnce}`,
    {
      from,
      to,
      level: level.name,
      source: level.source,
      types,
      settled: Math.floor((nowMs - settings.settleMs) / 1000),
      now: String(nowMs),
      retry: settings.retryMs,
    },
  )
  return rows.map(([tenant, service, type, time, samples, sourceRun, reason]) => ({
    tenant,
    service,
    type,
    time,
    samples,
    sourceRun,
    reason,
  }))
}

/**
 * Of one tenant and day each, so that a run writes few parts; more samples than the limit only in one period. Samples
 * lie by the hour: once a run has half of what it may sum, it does not begin another hour.
 */
export function* batchDue(
  due: DueRow[],
  limits: { keys: number; nameLength: number; samples: number },
): Generator<DueRow[]> {
  let batch: DueRow[] = []
  let samples = 0
  let names = new Set<string>()
  let nameLength = 0
  for (const row of due) {
    const first = batch[0]
    const isOther = first && (first.tenant !== row.tenant || dayOf(first) !== dayOf(row))
    const isNextHour = first && hourOf(first) !== hourOf(row) && samples > limits.samples / 2
    const isFull =
      batch.length >= limits.keys || samples + row.samples > limits.samples || nameLength > limits.nameLength
    if (first && (isOther || isNextHour || isFull)) {
      yield batch
      batch = []
      samples = 0
      names = new Set()
      nameLength = 0
    }
    batch.push(row)
    samples += row.samples
    for (const name of [row.service, row.type]) {
      if (!names.has(name)) nameLength += name.length
      names.add(name)
    }
  }
  if (batch.length > 0) yield batch
}

function hourOf({ time }: DueRow): number {
  return Math.floor(time / 3600)
}

function dayOf({ time }: DueRow): number {
  return Math.floor(time / 86_400)
}

/**
 * Runs that began and were not recorded, and recorded ones of fewer profiles than another; of equal ones all but
 * the one that queries take. beforeMs: of periods that no run touched since; queries that were planned before have ended.
 */
export async function selectLostRuns(client: StoreClient, beforeMs: number): Promise<LostRuns[]> {
  const rows = await select<[string, LevelName, number, number, string[]]>(
    client,
    `SELECT tenant, level, toUInt32(min(time)), toUInt32(max(time)), groupArray(toString(run_id)) FROM (
        SELECT tenant, level, time, run_id FROM (
          SELECT tenant, level, service, type, time, run_id, max(level_state.at) AS at,
            max(step = 'recorded') AS is_recorded, max(level_state.profiles) AS profiles
          FROM level_state GROUP BY tenant, level, service, type, time, run_id)
        QUALIFY toUnixTimestamp64Milli(max(at) OVER (PARTITION BY tenant, level, service, type, time)) < toInt64({before:String})
          AND row_number() OVER (PARTITION BY tenant, level, service, type, time ORDER BY is_recorded DESC, profiles DESC, at DESC, run_id DESC) > (is_recorded ? 1 : 0)
        LIMIT ${lostAtOnce} BY tenant, level)
      GROUP BY tenant, level`,
    { before: String(beforeMs) },
  )
  return rows.flatMap(([tenant, level, from, to, runIds]) =>
    level in levels ? [{ tenant, level, from, to, runIds }] : [],
  )
}
