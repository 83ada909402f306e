import {
  fromTable,
  idList,
  labelColumn,
  type Scope,
  type Statement,
  sampleConditions,
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

/** Rows: [value, number of all values], sorted, at most `limit`. label: as stored or as it was sent. */
export function selectLabelValues(scope: Scope, label: string, limit: number): Statement {
  const params: Statement['params'] = { ...scopeParams(scope), limit }
  return {
    name: 'label_values',
    params,
    sql: `SELECT value, toUInt32(count() OVER ()) FROM (
        SELECT DISTINCT ${labelColumn(label, 'label', params)} AS value
        FROM ${fromTable('series')}${seriesConditions(scope, params)} AND series_id IN (${activeSeries(scope, params)}) AND value != '')
      ORDER BY value LIMIT {limit:UInt32}`,
  }
}

function activeSeries(scope: Scope, params: Statement['params']): string {
  return `SELECT series_id FROM ${fromTable('totals_1m', scope.range)}${scopeConditions(scope, params)}`
}

/**
 * RowBinary: stack_id UInt64, value Int128. Sums over the range, of types that are sums; Int128, since Int64
 * wraps in silence. Gauges and counters: selectAmounts.
 */
export function selectStackSums(scope: Scope): Statement {
  const params = scopeParams(scope)
  return {
    name: 'stack_sums',
    params,
    sql: `SELECT stack_id, sum(toInt128(value)) FROM ${fromTable('samples', scope.range)}${scopeConditions(scope, params)}${sampleConditions(scope, params)} GROUP BY stack_id`,
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
