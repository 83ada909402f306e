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

// More of them are looked up as one set of triples, which costs more for each row.
const pairsAsConditions = 16

/**
 * keys: list of (service, type, period) in SQL; services: list of names; within: condition on service, type and a
 * period of the given expression.
 */
export function runKeys({ level, tenant, token, keys }: Run): {
  params: Params
  keys: string
  services: string
  within: (period: string) => string
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
  const pairs = new Map<string, number[]>()
  for (const { service, type, time } of keys) {
    const pair = `service = ${placeOf(service)} AND type = ${placeOf(type)}`
    const known = pairs.get(pair)
    if (known) known.push(time)
    else pairs.set(pair, [time])
  }
  const within = (period: string) =>
    pairs.size > pairsAsConditions
      ? `(service, type, toUInt32(${period})) IN (${list.join(', ')})`
      : `(${[...pairs].map(([pair, of]) => `(${pair} AND toUInt32(${period}) IN (${of.join(', ')}))`).join(' OR ')})`
  return { params, keys: list.join(', '), services, within }
}

/** Of a level: rows that a run sums or has summed, by `condition`. */
const fromLevel = (table: LevelName, within: string, condition: string) =>
  `FROM ${table} WHERE tenant = {tenant:String}
      AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
      AND ${within} AND ${condition}`

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
  const { params, within } = runKeys(run)
  const { name, sum, seconds } = run.level
  const period = seconds === 3600 ? 'toStartOfHour(totals_10m.time)' : 'totals_10m.time'
  return {
    query: `SELECT service, type, toUInt32(p.period), toString(${runIdOf('p.period')}), toString(p.profiles),
        toFloat64(r.summed_rows), r.summed_samples = p.samples AND toInt64(r.summed_value) = toInt64(p.value)
      FROM (SELECT service, type, ${period} AS period, sum(profiles) AS profiles, sum(samples) AS samples, sum(value) AS value
        FROM totals_10m WHERE tenant = {tenant:String}
          AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
          AND ${within(period)}
        GROUP BY service, type, period) AS p
      LEFT JOIN (SELECT service, type, time AS period, count() AS summed_rows, sum(samples) AS summed_samples,
          sum(${sum}) AS summed_value
        ${fromLevel(name, within('time'), `run_id = ${runIdOf('time')}`)}
        GROUP BY service, type, period) AS r USING (service, type, period)`,
    query_params: params,
  }
}

// A series keeps its group unless the allow-list changes; the newest is the one it was last seen in. Its id tells
// service and type, so that samples are summed by numbers alone.
const knownSeries = (services: string) =>
  `(SELECT series_id, argMax(group_id, seen) AS group_id, any(of_service) AS service, any(of_type) AS type
    FROM (SELECT series_id, group_id, last_seen AS seen, service AS of_service, type AS of_type
      FROM series WHERE tenant = {tenant:String} AND service IN (${services})) GROUP BY series_id)`

/** The INSERT that sums a run. What does not fit a quarter of the memory goes to disk meanwhile. */
export function sumStatement(run: Run, settings: LevelSettings): { query: string; query_params: Params } {
  const { params, services, within } = runKeys(run)
  const { name, source, seconds } = run.level
  const period = seconds === 3600 ? 'toStartOfHour(time)' : 'toStartOfTenMinutes(time)'
  const fromSource =
    source === 'samples'
      ? `FROM samples WHERE tenant = {tenant:String}
          AND toStartOfHour(time) >= toStartOfHour(toDateTime({from:UInt32})) AND toStartOfHour(time) <= toStartOfHour(toDateTime({to:UInt32} - 1))
          AND time >= toDateTime({from:UInt32}) AND time < toDateTime({to:UInt32})
          AND ${within(period)}`
      : fromLevel(
          source,
          within('time'),
          `run_id IN (${run.keys.map(({ sourceRun }) => sourceRun).join(', ')})`,
        )
  const sums =
    source === 'samples'
      ? `(SELECT series_id, stack_id, ${period} AS period, retention, sum(toInt128(value)) AS value, count() AS samples
          ${fromSource} GROUP BY series_id, stack_id, period, retention)`
      : `(SELECT * EXCEPT (service, type, time), ${source === 'series_1h' ? '' : 'service, type, '}time AS period ${fromSource})`
  const ofSeries = `${sums} AS s ANY LEFT JOIN ${knownSeries(services)} AS k USING (series_id)`
  const insert = (columns: string, values: string) =>
    `INSERT INTO ${name} (tenant, service, type, time, run_id, retention, samples, ${columns})
      SELECT {tenant:String}, service, type, period, ${runIdOf('period')}, retention, ${values}`
  const functions = (which: FunctionsOf) => functionsOfStacks(which, services, fromSource)
  const byGroup = `${insert('stack_id, group_id, value', 'sum(samples), stack_id, group_id, sum(value)')}
      FROM ${ofSeries} GROUP BY service, type, period, retention, stack_id, group_id`
  const bodies: Record<LevelName, string> = {
    series_1h: `${insert('stack_id, series_id, value', 'samples, stack_id, series_id, value')} FROM ${ofSeries}`,
    group_10m: byGroup,
    group_1h: byGroup,
    functions_1h: `${insert('frame_id, group_id, self, total', 'sum(self_samples), frame_id, group_id, sum(self), sum(total)')}
      FROM (SELECT service, type, period, retention, group_id,
          arrayJoin(if(empty(functions), [toUInt64(1)], functions)) AS frame_id, value AS total,
          frame_id = if(empty(functions), 1, leaf) AS is_leaf, if(is_leaf, value, 0) AS self, if(is_leaf, samples, 0) AS self_samples
        FROM ${sums} AS s ANY LEFT JOIN ${functions('stack')} AS f USING (stack_id))
      GROUP BY service, type, period, retention, frame_id, group_id`,
    instance_functions_10m: `${insert('frame_id, series_id, self', 'samples, frame_id, series_id, self')}
      FROM (SELECT series_id, if(is_stored, leaf, 1) AS frame_id, period, retention, sum(samples) AS samples, sum(value) AS self
        FROM ${sums} AS s ANY LEFT JOIN ${functions('leaf')} AS f USING (stack_id)
        GROUP BY series_id, frame_id, period, retention) AS s ANY LEFT JOIN ${knownSeries(services)} AS k USING (series_id)`,
  }
  return {
    query: `${bodies[name]} SETTINGS max_threads = 1, max_insert_threads = 1, os_threads_nice_value_query = ${settings.niceness},
      max_memory_usage = ${settings.memoryBytes},
      max_bytes_before_external_group_by = ${Math.floor(settings.memoryBytes / 4)}, max_bytes_ratio_before_external_group_by = 0`,
    query_params: params,
  }
}
