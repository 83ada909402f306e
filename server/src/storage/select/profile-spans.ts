import type { ValueKind } from '@strobe/profile'
import { fromTable, type Scope, type Statement, scopeConditions } from './statement.ts'

/**
 * What each profile stands for in time, by the kind of its values. The rules are told in docs/values.md;
 * nothing here depends on the order of arrival or on which server took a profile.
 *
 *   sum         |t---------t+duration)                the profile's own window
 *   gauge       |t--------------------next)           its level holds until the next profile of the series
 *   cumulative  (previous-----------t|                what the counter gained since the profile before
 *
 * Gauges and counters are told apart by the second, as samples are: profiles of a series in one second are
 * one observation, for a counter the highest, for a gauge the mean.
 */

/** A level is believed for so long at most. */
const holdSeconds = 600
/** And so long when it is alone and has no duration. */
const loneHoldSeconds = 60
/** Profiles of a counter further apart are no succession: what lies between them is not counted. */
const successionSeconds = 3600

/** Adds wideFrom and wideTo: the range and what around it decides about the profiles in it. */
function widen(scope: Scope, params: Statement['params'], seconds: number): void {
  params.wideFrom = Math.max(0, scope.range.from - seconds)
  params.wideTo = Math.min(4_294_967_295, scope.range.to + seconds)
}

/** Rows of one second of a series, with the seconds of its neighbours, 0 without one. */
function neighbours(scope: Scope, params: Statement['params'], total: 'max' | 'sum'): string {
  return `SELECT *, lagInFrame(second, 1, toUInt32(0)) OVER near AS before, lagInFrame(total, 1, toInt128(0)) OVER near AS total_before,
      leadInFrame(second, 1, toUInt32(0)) OVER near AS after, leadInFrame(total, 1, toInt128(0)) OVER near AS total_after
    FROM (SELECT service, series_id, toUInt32(toUnixTimestamp(toDateTime(time))) AS second, toUInt32(count()) AS profiles,
        ${total}(toInt128(value)) AS total, max(duration_ns) AS duration, sum(expected) AS expected, sum(lost) AS lost,
        sum(truncated) AS truncated, sum(unsymbolized) AS unsymbolized, toUInt32(countIf(flags != 0)) AS retimed
      FROM ${fromTable('profiles', scope.range, 'wide')}${scopeConditions(scope, params)} GROUP BY service, series_id, second)
    WINDOW near AS (PARTITION BY series_id ORDER BY second ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)`
}

const isInRange = 'second >= {from:UInt32} AND second < {to:UInt32}'

/**
 * SQL: one row per level and step that it reaches into, inside the range. Columns: service, series_id, second,
 * step, profiles (in that second), total (their sum), seconds, begin, end, and the counts of samples.
 * step: null for one row per level. Adds heldFrom to params: levels that began before it have ended.
 */
export function levelSource(scope: Scope, step: number | null, params: Statement['params']): string {
  widen(scope, params, 2 * holdSeconds)
  params.heldFrom = Math.max(0, scope.range.from - holdSeconds)
  const lasts = `multiIf(after > 0 AND after - second <= ${holdSeconds}, after - second,
      duration > 0, least(intDiv(duration + 999999999, 1000000000), ${holdSeconds}),
      before > 0 AND second - before <= ${holdSeconds}, second - before, ${loneHoldSeconds})`
  const levels = `SELECT *, toUInt32(greatest(second, {from:UInt32})) AS level_begin,
      toUInt32(least(second + ${lasts}, {to:UInt32})) AS level_end
    FROM (${neighbours(scope, params, 'sum')}) WHERE level_end > level_begin`
  if (step === null)
    return `SELECT *, toUInt32(0) AS step, level_begin AS begin, level_end AS end, end - begin AS seconds FROM (${levels})`
  params.step = step
  return `SELECT *, toUInt32(part * {step:UInt32}) AS step, greatest(level_begin, step) AS begin, least(level_end, step + {step:UInt32}) AS end, end - begin AS seconds
    FROM (${levels}) ARRAY JOIN range(intDiv(level_begin, {step:UInt32}), intDiv(level_end - 1, {step:UInt32}) + 1) AS part`
}

/**
 * SQL: one row per second of a counter's series, in and around the range. Columns as neighbours, and
 * has_before, has_after (in the same succession), continues and continues_after (without a reset between).
 *
 *   total    90   100   120 |  30    50          5
 *            begins      ^  |  reset     > 1 h   alone
 *   counts   0    10    20     30    20          5
 */
function counterSource(scope: Scope, params: Statement['params']): string {
  widen(scope, params, successionSeconds)
  return `SELECT *, before > 0 AND second - before <= ${successionSeconds} AS has_before,
      after > 0 AND after - second <= ${successionSeconds} AS has_after,
      has_before AND total >= total_before AS continues, has_after AND total_after >= total AS continues_after
    FROM (${neighbours(scope, params, 'max')})`
}

/**
 * SQL: which profiles of a counter are needed to know what it gained, and how. What lies between two of them
 * cancels out: a life of the counter gains its last value less its first one, however many were sent.
 * Columns: series_id, second, step, life, sign (1: what it had at the end, -1: what it had before).
 */
export function counterMarks(scope: Scope, step: number | null, params: Statement['params']): string {
  const source = `SELECT series_id, second, after, has_before, has_after, continues_after,
      sum(NOT continues) OVER (PARTITION BY series_id ORDER BY second ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS life
    FROM (${counterSource(scope, params)})`
  // The first of a succession is only where the next one begins to count; alone it counts as it was sent.
  const gained = `toInt8(${isInRange} AND (has_before OR NOT has_after))`
  const taken = 'toInt8(continues_after AND after >= {from:UInt32} AND after < {to:UInt32})'
  if (step === null)
    return `SELECT series_id, second, toUInt32(0) AS step, life, ${gained} - ${taken} AS sign FROM (${source}) WHERE sign != 0`
  params.step = step
  const stepOf = (second: string) => `toUInt32(intDiv(${second}, {step:UInt32}) * {step:UInt32})`
  return `SELECT series_id, second, part.1 AS step, life, sum(part.2) AS sign FROM (${source})
    ARRAY JOIN [(${stepOf('second')}, ${gained}), (${stepOf('after')}, negate(${taken}))] AS part
    GROUP BY series_id, second, step, life HAVING sign != 0`
}

/**
 * SQL: one row per profile, level or gain. Columns: service, series_id, step, start_ms, end_ms, profiles,
 * amount (value; value x seconds; gain), expected, lost, truncated, unsymbolized, retimed, resets. A profile counts in the
 * step and range it starts in, a gain in those of its later profile, a level in all it reaches into.
 */
export function spanSource(scope: Scope, kind: ValueKind, step: number, params: Statement['params']): string {
  params.step = step
  const stepStart = 'toUInt32(intDiv(second, {step:UInt32}) * {step:UInt32}) AS step'
  const ofSamples = 'expected, lost, truncated, unsymbolized'
  switch (kind) {
    case 'sum':
      return `SELECT service, series_id, toUInt32(toUnixTimestamp(toDateTime(time))) AS second, ${stepStart}, toUnixTimestamp64Milli(time) AS start_ms,
          start_ms + least(intDiv(duration_ns, 1000000), 604800000) AS end_ms, 1 AS profiles, value AS amount, ${ofSamples},
          flags != 0 AS retimed, 0 AS resets
        FROM ${fromTable('profiles', scope.range)}${scopeConditions(scope, params)}`
    case 'gauge': {
      // A level that reaches into the range from before adds its time, but was counted where it was sent.
      const once = (column: string) => `if(begin = second, l.${column}, 0) AS ${column}`
      return `SELECT service, series_id, step, toInt64(begin) * 1000 AS start_ms, toInt64(end) * 1000 AS end_ms,
          intDiv(total * seconds, l.profiles) AS amount, ${['profiles', ...ofSamples.split(', '), 'retimed'].map(once).join(', ')}, 0 AS resets
        FROM (${levelSource(scope, step, params)}) AS l`
    }
    case 'cumulative':
      return `SELECT service, series_id, ${stepStart}, toInt64(if(has_before, before, second)) * 1000 AS start_ms, toInt64(second) * 1000 AS end_ms,
          profiles, multiIf(continues, total - total_before, has_before, total, toInt128(0)) AS amount, ${ofSamples},
          retimed, has_before AND NOT continues AS resets
        FROM (${counterSource(scope, params)}) WHERE ${isInRange}`
  }
}
