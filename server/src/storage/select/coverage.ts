import type { ValueKind } from '@strobe/profile'
import { spanSource } from './profile-spans.ts'
import {
  fromTable,
  labelColumn,
  type Scope,
  type Statement,
  scopeConditions,
  scopeParams,
  seriesConditions,
} from './statement.ts'

export interface CoverageGrouping {
  /** 'service', or names of labels of series; none: one group with an empty key. */
  by: 'service' | string[]
  stepSeconds: number
}

/**
 * What a set of profiles covers, per group and step.
 *
 * Rows: [key[], stepStart s, profiles, amount, covered ms, end ms, expected, lost, truncated, unsymbolized, minutes,
 * retimed, resets].
 * `covered` is the union of the profiles' times, so that ten instances cover a minute once and short
 * processes that follow each other add up. What a profile's time and amount are depends on the kind, see
 * profile-spans.ts; amount / covered is a rate of sums and counters and the mean of a gauge.
 *
 *   instance a  [----][----]
 *   instance b     [----]   [--]
 *   covered     ============ ==
 *
 * minutes: how many minutes of the range the profiles touch (0 when not asked for). retimed: profiles with
 * the time of receipt. resets: times a counter began anew.
 */
export function selectCoverage(
  scope: Scope,
  kind: ValueKind,
  grouping: CoverageGrouping & { withMinutes: boolean },
): Statement {
  const params = scopeParams(scope)
  const source = `FROM (${spanSource(scope, kind, grouping.stepSeconds, params)}) AS p`
  const { join, key } = groupKey(scope, grouping.by, params)
  const sums = ['profiles', 'amount', 'expected', 'lost', 'truncated', 'unsymbolized', 'retimed', 'resets']
  // One row per second and group, whatever the number of instances, before the running maximum.
  const seconds = `SELECT ${key} AS key, step, intDiv(p.start_ms, 1000) AS start_second,
      min(p.start_ms) AS start_ms, max(p.end_ms) AS end_ms, ${sums.map(name => `sum(${name === 'amount' ? 'toInt128(p.amount)' : `p.${name}`}) AS ${name}`).join(', ')}
    ${source}${join} GROUP BY key, step, start_second`
  const fresh = `SELECT key, step, start_ms, end_ms, ${sums.join(', ')},
      greatest(toInt64(0), toInt64(end_ms) - greatest(toInt64(start_ms), toInt64(max(end_ms) OVER
        (PARTITION BY key ORDER BY start_second, step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)))) AS covered_ms
    FROM (${seconds})`
  const minutes = grouping.withMinutes
    ? `toUInt32(length(arrayFilter(minute -> minute >= intDiv({from:UInt32}, 60) AND minute < intDiv({to:UInt32} + 59, 60),
        groupUniqArrayArray(range(toUInt32(intDiv(start_ms, 60000)), toUInt32(intDiv(greatest(start_ms, end_ms - 1), 60000)) + 1)))))`
    : 'toUInt32(0)'
  return {
    name: `coverage_${kind}`,
    params,
    sql: `SELECT key, step, toUInt32(sum(profiles)),
        toString(sum(amount)), toFloat64(sum(covered_ms)), toFloat64(max(end_ms)), toFloat64(sum(expected)), toFloat64(sum(lost)),
        toFloat64(sum(truncated)), toFloat64(sum(unsymbolized)), ${minutes}, toUInt32(sum(retimed)), toUInt32(sum(resets))
      FROM (${fresh}) GROUP BY key, step ORDER BY key, step`,
  }
}

/**
 * The same columns from the minute totals, for long ranges of sums: the covered time is counted in whole
 * minutes and the counts of samples are not known (0).
 */
export function selectCoverageByMinute(scope: Scope, grouping: CoverageGrouping): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), step: grouping.stepSeconds }
  const where = scopeConditions(scope, params)
  const source = `FROM (SELECT service, series_id, time, value, profiles FROM ${fromTable('totals_1m', scope.range)}${where}) AS p`
  const { join, key } = groupKey(scope, grouping.by, params)
  return {
    name: 'coverage_by_minute',
    params,
    sql: `SELECT ${key} AS key, toUInt32(intDiv(toUnixTimestamp(time), {step:UInt32}) * {step:UInt32}) AS step,
        toUInt32(sum(profiles)), toString(sum(toInt128(value))), toFloat64(uniqExact(time) * 60000),
        toFloat64(max(toUnixTimestamp(time)) + 60) * 1000, 0., 0., 0., 0., toUInt32(0), toUInt32(0), toUInt32(0)
      ${source}${join} GROUP BY key, step ORDER BY key, step`,
  }
}

function groupKey(
  scope: Scope,
  by: 'service' | string[],
  params: Statement['params'],
): { join: string; key: string } {
  if (by === 'service') return { join: '', key: '[toString(service)]' }
  if (by.length === 0) return { join: '', key: '[]::Array(String)' }
  const columns = by.map((name, nameIndex) => labelColumn(name, `by${nameIndex}`, params)).join(', ')
  return {
    join: ` ANY LEFT JOIN (SELECT series_id, [${columns}] AS label_values FROM ${fromTable('series')}${seriesConditions(scope, params)}) AS known USING (series_id)`,
    key: 'label_values',
  }
}
