import { parseProfileTypeId, valueKindOf } from '@strobe/profile'
import { type FunctionsOf, functionsOfStacks } from './functions.ts'
import type { LevelSettings } from './settings.ts'

/** Each is a table of migration 0002. In this order: what is summed from another comes after it. */
export const levelNames = [
  'group_10m',
  'series_1h',
  'group_1h',
  'functions_1h',
  'instance_functions_10m',
] as const
export type LevelName = (typeof levelNames)[number]

export interface Level {
  name: LevelName
  seconds: 600 | 3600
  /** Where its rows are summed from; a level that is one has to stand first. */
  source: 'samples' | LevelName
  /** The column that adds up to the period's value. */
  sum: 'value' | 'self'
}

export const levels: Record<LevelName, Level> = {
  group_10m: { name: 'group_10m', seconds: 600, source: 'samples', sum: 'value' },
  series_1h: { name: 'series_1h', seconds: 3600, source: 'samples', sum: 'value' },
  group_1h: { name: 'group_1h', seconds: 3600, source: 'series_1h', sum: 'value' },
  functions_1h: { name: 'functions_1h', seconds: 3600, source: 'group_1h', sum: 'self' },
  instance_functions_10m: {
    name: 'instance_functions_10m',
    seconds: 600,
    source: 'samples',
    sum: 'self',
  },
}

/** Whether sums over profiles are what a type is asked for: gauges and counters are read from samples. */
export function isLeveled(type: string): boolean {
  return valueKindOf(parseProfileTypeId(type)) === 'sum'
}

/** One service and type in one period of a level. */
export interface PeriodKey {
  service: string
  type: string
  /** Start, unix s. */
  time: number
  /** Run of the level it is summed from, decimal text; '0' from samples. */
  sourceRun: string
}

/** Periods of one tenant that one statement sums. */
export interface Run {
  level: Level
  tenant: string
  /** Own to this run: with service, type and period it makes the run_id. */
  token: string
  keys: PeriodKey[]
}

export type Params = Record<string, string | number>

/** run_id of a row with service, type and a period of the given name. */
export const runIdOf = (period: string) => `cityHash64({token:String}, service, type, toUInt32(${period}))`

/** keys: list of (service, type, period) in SQL; services: list of names. */
export function runKeys({ level, tenant, token, keys }: Run): {
  params: Params
  keys: string
  services: string
} {
  const times = keys.map(({ time }) => time)
  const params: Params = {
    tenant,
    token,
    from: Math.min(...times),
    to: Math.max(...times) + level.seconds,
  }
  const places = new Map<string, string>()
  const placeOf = (text: string) => {
    let place = places.get(text)
    if (place === undefined) {
      const name = `text${places.size}`
      params[name] = text
      place = `{${name}:String}`
      places.set(text, place)
    }
    return place
  }
  const services = [...new Set(keys.map(({ service }) => placeOf(service)))].join(', ')
  const list = keys.map(({ service, type, time }) => `(${placeOf(service)}, ${placeOf(type)}, ${time})`)
  return { params, keys: list.join(', '), services }
}

/** Of a level: rows that a run sums or has summed, by `condition`. */
const fromLevel = (table: LevelName, keys: string, condition: string) =>
  `FROM ${table} WHERE tenant = {tenant:String}
      AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
      AND (service, type, toUInt32(time)) IN (${keys}) AND ${condition}`

/** Marks the run as begun: who looks meanwhile leaves its periods alone. */
export function beginStatement(run: Run, nowMs: number): { query: string; query_params: Params } {
  const { params, keys } = runKeys(run)
  return {
    query: `INSERT INTO level_state (tenant, level, service, type, time, run_id, step, profiles, at)
      SELECT {tenant:String}, {level:String}, key.1 AS service, key.2 AS type, toDateTime(key.3) AS time,
        ${runIdOf('time')}, 'begun', 0, fromUnixTimestamp64Milli(toInt64({now:String}))
      FROM (SELECT arrayJoin([${keys}]) AS key)`,
    query_params: { ...params, level: run.level.name, now: String(nowMs) },
  }
}

/**
 * Rows: [service, type, period s, run id, profiles, rows, whether the run has exactly the samples of the profiles
 * that the period has by now].
 */
export function verifyStatement(run: Run): { query: string; query_params: Params } {
  const { params, keys } = runKeys(run)
  const { name, sum, seconds } = run.level
  const period = seconds === 3600 ? 'toStartOfHour(totals_10m.time)' : 'totals_10m.time'
  return {
    query: `SELECT service, type, toUInt32(p.period), toString(${runIdOf('p.period')}), toString(p.profiles),
        toFloat64(r.summed_rows), r.summed_samples = p.samples AND toInt64(r.summed_value) = toInt64(p.value)
      FROM (SELECT service, type, ${period} AS period, sum(profiles) AS profiles, sum(samples) AS samples, sum(value) AS value
        FROM totals_10m WHERE tenant = {tenant:String}
          AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
          AND (service, type, toUInt32(${period})) IN (${keys})
        GROUP BY service, type, period) AS p
      LEFT JOIN (SELECT service, type, time AS period, count() AS summed_rows, sum(samples) AS summed_samples,
          sum(${sum}) AS summed_value
        ${fromLevel(name, keys, `run_id = ${runIdOf('time')}`)}
        GROUP BY service, type, period) AS r USING (service, type, period)`,
    query_params: params,
  }
}

// A series keeps its group unless the allow-list changes; the newest is the one it was last seen in.
const groupOfSeries = (services: string) =>
  `(SELECT series_id, argMax(group_id, last_seen) AS group_id FROM series
    WHERE tenant = {tenant:String} AND service IN (${services}) GROUP BY series_id)`

/**
 * The INSERT that sums a run. Samples are summed in the order they lie in, so that no hash table holds an hour;
 * what needs one goes to disk at a quarter of the memory.
 */
export function sumStatement(run: Run, settings: LevelSettings): { query: string; query_params: Params } {
  const { params, keys, services } = runKeys(run)
  const { name, source, seconds } = run.level
  const period = seconds === 3600 ? 'toStartOfHour(time)' : 'toStartOfTenMinutes(time)'
  const fromSource =
    source === 'samples'
      ? `FROM samples WHERE tenant = {tenant:String}
          AND toStartOfHour(time) >= toStartOfHour(toDateTime({from:UInt32})) AND toStartOfHour(time) <= toStartOfHour(toDateTime({to:UInt32} - 1))
          AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
          AND (service, type, toUInt32(${period})) IN (${keys})`
      : fromLevel(source, keys, `run_id IN (${run.keys.map(({ sourceRun }) => sourceRun).join(', ')})`)
  const seriesSums =
    source === 'samples'
      ? `(SELECT service, type, ${period} AS period, stack_id, series_id, sum(toInt128(value)) AS value, count() AS samples, retention
          ${fromSource} GROUP BY tenant, service, type, toStartOfHour(time), stack_id, series_id, period, retention)`
      : `(SELECT service, type, time AS period, * EXCEPT (service, type, time) ${fromSource})`
  const insert = (columns: string, values: string) =>
    `INSERT INTO ${name} (tenant, service, type, time, run_id, retention, samples, ${columns})
      SELECT {tenant:String}, service, type, period, ${runIdOf('period')}, retention, ${values}`
  const functions = (which: FunctionsOf) => functionsOfStacks(which, services, fromSource)
  const bodies: Record<LevelName, string> = {
    series_1h: `${insert('stack_id, series_id, value', 'samples, stack_id, series_id, value')} FROM ${seriesSums}`,
    group_10m: `${insert('stack_id, group_id, value', 'sum(samples), stack_id, group_id, sum(value)')}
      FROM ${seriesSums} AS s ANY LEFT JOIN ${groupOfSeries(services)} AS g USING (series_id)
      GROUP BY service, type, period, retention, stack_id, group_id`,
    group_1h: `${insert('stack_id, group_id, value', 'sum(samples), stack_id, group_id, sum(value)')}
      FROM ${seriesSums} AS s ANY LEFT JOIN ${groupOfSeries(services)} AS g USING (series_id)
      GROUP BY service, type, period, retention, stack_id, group_id`,
    functions_1h: `${insert('frame_id, group_id, self, total', 'sum(self_samples), frame_id, group_id, sum(self), sum(total)')}
      FROM (SELECT service, type, period, retention, group_id,
          arrayJoin(if(empty(functions), [toUInt64(1)], functions)) AS frame_id, value AS total,
          frame_id = if(empty(functions), 1, leaf) AS is_leaf, if(is_leaf, value, 0) AS self, if(is_leaf, samples, 0) AS self_samples
        FROM ${seriesSums} AS s ANY LEFT JOIN ${functions('stack')} AS f USING (service, stack_id))
      GROUP BY service, type, period, retention, frame_id, group_id`,
    instance_functions_10m: `${insert('frame_id, series_id, self', 'sum(samples), frame_id, series_id, sum(value)')}
      FROM (SELECT service, type, period, retention, series_id, samples, value, if(is_stored, leaf, 1) AS frame_id
        FROM ${seriesSums} AS s ANY LEFT JOIN ${functions('leaf')} AS f USING (service, stack_id))
      GROUP BY service, type, period, retention, frame_id, series_id`,
  }
  return {
    query: `${bodies[name]} SETTINGS max_threads = 1, max_insert_threads = 1, os_threads_nice_value_query = ${settings.niceness},
      max_memory_usage = ${settings.memoryBytes}, optimize_aggregation_in_order = 1,
      max_bytes_before_external_group_by = ${Math.floor(settings.memoryBytes / 4)}, max_bytes_ratio_before_external_group_by = 0`,
    query_params: params,
  }
}
