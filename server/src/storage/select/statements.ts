import {
  fromTable,
  idList,
  type Scope,
  type Statement,
  scopeConditions,
  scopeParams,
  seriesConditions,
} from './statement.ts'

/** Ids travel as text or RowBinary: JSON numbers lose digits past 2^53. */

/** Rows: [type]. The types that have profiles in the range. */
export function selectTypes(scope: Scope): Statement {
  const params = scopeParams(scope)
  const where = scopeConditions(scope, params)
  return {
    name: 'types',
    params,
    sql: `SELECT DISTINCT type FROM ${fromTable('totals_1m', scope.range)}${where} ORDER BY type`,
  }
}

/** Rows: [service, types, instances, versions]. Services with profiles in the range, by name. */
export function selectServices(scope: Scope): Statement {
  const params = scopeParams(scope)
  const active = `SELECT service, type, series_id FROM ${fromTable('totals_1m', scope.range)}${scopeConditions(scope, params)} GROUP BY service, type, series_id`
  const known = `SELECT series_id,
      (labels['host_name'], labels['k8s_pod_name'], labels['container_id'], labels['service_instance_id'], labels['instance']) AS instance,
      labels['service_version'] AS version
    FROM ${fromTable('series')}${seriesConditions(scope, params)}`
  return {
    name: 'services',
    params,
    sql: `SELECT service, arraySort(groupUniqArray(type)), toUInt32(uniqExact(instance)),
        arraySort(groupUniqArrayIf(100)(version, version != ''))
      FROM (${active}) AS active ANY LEFT JOIN (${known}) AS known USING (series_id)
      GROUP BY service ORDER BY service`,
  }
}

/** Rows: [name]. Label names of series with profiles in the range. */
export function selectLabelNames(scope: Scope): Statement {
  const params = scopeParams(scope)
  return {
    name: 'label_names',
    params,
    sql: `SELECT DISTINCT arrayJoin(mapKeys(labels)) AS name
      FROM ${fromTable('series')}${seriesConditions(scope, params)} AND series_id IN (${activeSeries(scope, params)})
      ORDER BY name`,
  }
}

/** Rows: [value], at most `limit`, sorted. */
export function selectLabelValues(scope: Scope, label: string, limit: number): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), label, limit }
  return {
    name: 'label_values',
    params,
    sql: `SELECT DISTINCT labels[{label:String}] AS value
      FROM ${fromTable('series')}${seriesConditions(scope, params)} AND series_id IN (${activeSeries(scope, params)}) AND value != ''
      ORDER BY value LIMIT {limit:UInt32}`,
  }
}

function activeSeries(scope: Scope, params: Statement['params']): string {
  return `SELECT series_id FROM ${fromTable('totals_1m', scope.range)}${scopeConditions(scope, params)}`
}

/**
 * What a set of profiles covers, per group and step.
 *
 * Rows: [key[], stepStart s, profiles, value, covered ms, end ms, expected, lost, truncated, unsymbolized, minutes].
 * `covered` is the union of the profiles' times, so that ten instances cover a minute once and short
 * processes that follow each other add up. A profile counts in the step and range it starts in.
 *
 *   instance a  [----][----]
 *   instance b     [----]   [--]
 *   covered     ============ ==
 *
 * key: 'service', or names of labels (none: one group with an empty key). minutes: how many minutes of the range the profiles touch (0 when not asked for).
 */
export function selectCoverage(
  scope: Scope,
  grouping: { by: 'service' | string[]; stepSeconds: number; withMinutes: boolean },
): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), step: grouping.stepSeconds }
  const where = scopeConditions(scope, params)
  const source = `FROM (SELECT service, series_id, time, duration_ns, value, expected, lost, truncated, unsymbolized
        FROM ${fromTable('profiles', scope.range)}${where}) AS p`
  const { join, key } = groupKey(scope, grouping.by, params)
  // One row per second and group, whatever the number of instances, before the running maximum.
  const seconds = `SELECT ${key} AS key, toUnixTimestamp(toDateTime(time)) AS second,
      min(toUnixTimestamp64Milli(time)) AS start_ms,
      max(toUnixTimestamp64Milli(time) + least(intDiv(duration_ns, 1000000), 604800000)) AS end_ms,
      count() AS profiles, sum(toInt128(value)) AS value,
      sum(expected) AS expected, sum(lost) AS lost, sum(truncated) AS truncated, sum(unsymbolized) AS unsymbolized
    ${source}${join} GROUP BY key, second`
  const fresh = `SELECT key, second, start_ms, end_ms, profiles, value, expected, lost, truncated, unsymbolized,
      greatest(toInt64(0), toInt64(end_ms) - greatest(toInt64(start_ms), toInt64(max(end_ms) OVER
        (PARTITION BY key ORDER BY second ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)))) AS covered_ms
    FROM (${seconds})`
  const minutes = grouping.withMinutes
    ? `toUInt32(length(arrayFilter(minute -> minute >= intDiv({from:UInt32}, 60) AND minute < intDiv({to:UInt32} + 59, 60),
        groupUniqArrayArray(range(toUInt32(intDiv(start_ms, 60000)), toUInt32(intDiv(greatest(start_ms, end_ms - 1), 60000)) + 1)))))`
    : 'toUInt32(0)'
  return {
    name: 'coverage',
    params,
    sql: `SELECT key, toUInt32(intDiv(second, {step:UInt32}) * {step:UInt32}) AS step, toUInt32(sum(profiles)),
        toString(sum(value)), toFloat64(sum(covered_ms)), toFloat64(max(end_ms)), toFloat64(sum(expected)), toFloat64(sum(lost)),
        toFloat64(sum(truncated)), toFloat64(sum(unsymbolized)), ${minutes}
      FROM (${fresh}) GROUP BY key, step ORDER BY key, step`,
  }
}

/**
 * The same columns from the minute totals, for long ranges: the covered time is counted in whole minutes
 * and the counts of samples are not known (0).
 */
export function selectCoverageByMinute(
  scope: Scope,
  grouping: { by: 'service' | string[]; stepSeconds: number },
): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), step: grouping.stepSeconds }
  const where = scopeConditions(scope, params)
  const source = `FROM (SELECT service, series_id, time, value, profiles FROM ${fromTable('totals_1m', scope.range)}${where}) AS p`
  const { join, key } = groupKey(scope, grouping.by, params)
  return {
    name: 'coverage_by_minute',
    params,
    sql: `SELECT ${key} AS key, toUInt32(intDiv(toUnixTimestamp(time), {step:UInt32}) * {step:UInt32}) AS step,
        toUInt32(sum(profiles)), toString(sum(toInt128(value))), toFloat64(uniqExact(time) * 60000),
        toFloat64(max(toUnixTimestamp(time)) + 60) * 1000, 0., 0., 0., 0., toUInt32(0)
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
  by.forEach((name, nameIndex) => {
    params[`by${nameIndex}`] = name
  })
  const columns = by.map((_, nameIndex) => `labels[{by${nameIndex}:String}]`).join(', ')
  return {
    join: ` ANY LEFT JOIN (SELECT series_id, [${columns}] AS label_values FROM ${fromTable('series')}${seriesConditions(scope, params)}) AS known USING (series_id)`,
    key: 'label_values',
  }
}

/**
 * Rows: [key[], stepStart s, value]. For a gauge: the mean of each series over the step, summed over the
 * series of a group; adding up its profiles would count the same bytes again each time they were seen.
 */
export function selectGauges(scope: Scope, grouping: { by: string[]; stepSeconds: number }): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), step: grouping.stepSeconds }
  const where = scopeConditions(scope, params)
  const source = `FROM (SELECT series_id, time, value FROM ${fromTable('profiles', scope.range)}${where}) AS p`
  const { join, key } = groupKey(scope, grouping.by, params)
  return {
    name: 'gauges',
    params,
    sql: `SELECT key, step, sum(mean) FROM (SELECT ${key} AS key, series_id,
          toUInt32(intDiv(toUnixTimestamp(toDateTime(time)), {step:UInt32}) * {step:UInt32}) AS step, toFloat64(sum(toInt128(value))) / count() AS mean
        ${source}${join} GROUP BY key, series_id, step)
      GROUP BY key, step ORDER BY key, step`,
  }
}

/**
 * RowBinary: stack_id UInt64, value Int128. Sums over the range; Int128 inside, since Int64 wraps in silence. For a gauge the
 * mean of each series over its profiles in the range, summed over series.
 */
export function selectStackSums(scope: Scope, isGauge: boolean): Statement {
  const params = scopeParams(scope)
  if (isGauge) {
    const where = scopeConditions(scope, params)
    return {
      name: 'stack_means',
      params,
      sql: `SELECT stack_id, toInt128(round(sum(toFloat64(value) / profiles)))
        FROM (SELECT series_id, stack_id, sum(toInt128(value)) AS value FROM ${fromTable('samples', scope.range)}${where} GROUP BY series_id, stack_id) AS s
        ANY LEFT JOIN (SELECT series_id, count() AS profiles FROM ${fromTable('profiles', scope.range)}${where} GROUP BY series_id) AS p USING (series_id)
        GROUP BY stack_id`,
    }
  }
  return {
    name: 'stack_sums',
    params,
    sql: `SELECT stack_id, sum(toInt128(value)) FROM ${fromTable('samples', scope.range)}${scopeConditions(scope, params)} GROUP BY stack_id`,
  }
}

/** The same per value of a label of the series, '' for series without it. RowBinary: value String, stack_id UInt64, sum Int128. */
export function selectStackSumsByLabel(scope: Scope, isGauge: boolean, label: string): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), root: label }
  const where = scopeConditions(scope, params)
  const known = `SELECT series_id, labels[{root:String}] AS label_value FROM ${fromTable('series')}${seriesConditions(scope, params)}`
  const sums = `SELECT series_id, stack_id, sum(toInt128(value)) AS value FROM ${fromTable('samples', scope.range)}${where} GROUP BY series_id, stack_id`
  const joined = `(${sums}) AS s ANY LEFT JOIN (${known}) AS known USING (series_id)`
  if (!isGauge)
    return {
      name: 'stack_sums_by_label',
      params,
      sql: `SELECT label_value, stack_id, sum(value) FROM ${joined} GROUP BY label_value, stack_id`,
    }
  return {
    name: 'stack_means_by_label',
    params,
    sql: `SELECT label_value, stack_id, toInt128(round(sum(toFloat64(value) / profiles)))
      FROM (SELECT series_id, stack_id, label_value, value FROM ${joined}) AS v
      ANY LEFT JOIN (SELECT series_id, count() AS profiles FROM ${fromTable('profiles', scope.range)}${where} GROUP BY series_id) AS p USING (series_id)
      GROUP BY label_value, stack_id`,
  }
}

/** RowBinary: stack_id UInt64, frame ids Array(UInt64), leaf first. */
export function selectStacks(tenant: string, services: string[], ids: BigUint64Array): Statement {
  const params: Statement['params'] = { tenant }
  services.forEach((service, serviceIndex) => {
    params[`service${serviceIndex}`] = service
  })
  const inServices =
    services.length === 0
      ? ''
      : ` AND service IN (${services.map((_, serviceIndex) => `{service${serviceIndex}:String}`).join(', ')})`
  return {
    name: 'stacks',
    params,
    sql: `SELECT stack_id, frames FROM ${fromTable('stacks')}${inServices} AND stack_id IN (${idList(ids)}) LIMIT 1 BY stack_id`,
  }
}

/** RowBinary: frame_id UInt64, function_id UInt64, line UInt32, module, build_id, address UInt64, kind. */
export function selectFrames(tenant: string, ids: BigUint64Array): Statement {
  return {
    name: 'frames',
    params: { tenant },
    sql: `SELECT frame_id, function_id, line, module, build_id, address, kind FROM ${fromTable('frames')} AND frame_id IN (${idList(ids)}) LIMIT 1 BY frame_id`,
  }
}

/** RowBinary: function_id UInt64, name, system_name, file, start_line UInt32, module. */
export function selectFunctions(tenant: string, ids: BigUint64Array): Statement {
  return {
    name: 'functions',
    params: { tenant },
    sql: `SELECT function_id, name, system_name, file, start_line, module FROM ${fromTable('functions')} AND function_id IN (${idList(ids)}) LIMIT 1 BY function_id`,
  }
}

/** Rows: [period, count]. The most common sampling period of the profiles in scope, first. */
export function selectPeriods(scope: Scope): Statement {
  const params = scopeParams(scope)
  return {
    name: 'periods',
    params,
    sql: `SELECT toString(period), toUInt32(count()) AS profiles FROM ${fromTable('profiles', scope.range)}${scopeConditions(scope, params)} GROUP BY period ORDER BY profiles DESC LIMIT 1`,
  }
}

/** Rows: [host, version, kernel, state, reason, last seen ms, checks JSON, counters JSON], by host. */
export function selectAgents(tenant: string): Statement {
  return {
    name: 'agents',
    params: { tenant },
    sql: `SELECT host, argMax(version, last_seen), argMax(kernel, last_seen), argMax(state, last_seen), argMax(reason, last_seen),
        toFloat64(toUnixTimestamp64Milli(max(last_seen) AS seen)), argMax(checks, last_seen), argMax(counters, last_seen)
      FROM ${fromTable('agents')} GROUP BY host ORDER BY host LIMIT 10000`,
  }
}
