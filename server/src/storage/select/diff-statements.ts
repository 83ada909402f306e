import {
  fromTable,
  type Scope,
  type Statement,
  sampleConditions,
  scopeConditions,
  scopeParams,
  seriesConditions,
} from './statement.ts'

/** Labels that tell one instance from another; a series without any of them is an instance by itself. */
const instanceLabels = ['host_name', 'k8s_pod_name', 'container_id', 'service_instance_id', 'instance']

/** A replicate is an instance, or an instance and a stretch of blockSeconds of the range. */
function replicates(
  scope: Scope,
  params: Statement['params'],
  blockSeconds: number,
): { join: string; key: string } {
  params.block = blockSeconds
  const columns = instanceLabels.map(name => `labels['${name}']`).join(', ')
  return {
    join: ` ANY LEFT JOIN (SELECT series_id, if(concat(${columns}) = '', series_id, cityHash64(${columns})) AS instance
      FROM ${fromTable('series')}${seriesConditions(scope, params)}) AS known USING (series_id)`,
    key: 'cityHash64(instance, block)',
  }
}

/**
 * Rows: [replicate, instance, samples, seconds, value]. What the profiles of each replicate hold, whatever
 * labels of samples the scope asks for.
 *
 * isTimed: the value is time of the same unit as the period, so that value / period counts samples; else the
 * number of stacks is the least it is. seconds: covered by the replicate's profiles, series that report for the
 * same window counted once.
 */
export function selectReplicates(scope: Scope, blockSeconds: number, isTimed: boolean): Statement {
  const params = scopeParams(scope)
  const { join, key } = replicates(scope, params, blockSeconds)
  const samples = isTimed ? 'if(period > 0, value / period, toFloat64(stacks))' : 'toFloat64(stacks)'
  return {
    name: 'replicates',
    params,
    sql: `SELECT toString(${key}), toString(instance), sum(samples), sum(seconds), sum(value) FROM
      (SELECT instance, block, time, sum(samples) AS samples, max(seconds) AS seconds, sum(value) AS value
        FROM (SELECT series_id, time, toFloat64(value) AS value, intDiv(toUnixTimestamp(toDateTime(time)), {block:UInt32}) AS block, ${samples} AS samples, duration_ns / 1e9 AS seconds
          FROM ${fromTable('profiles', scope.range)}${scopeConditions(scope, params)}) AS p${join}
        GROUP BY instance, block, time)
      GROUP BY instance, block ORDER BY instance, block`,
  }
}

/**
 * RowBinary: replicate UInt64, stack_id UInt64, value Float64. Self weights: one row for each replicate and leaf
 * frame, with a stack that ends in the leaf.
 */
export function selectReplicateSelves(scope: Scope, blockSeconds: number, services: string[]): Statement {
  const params = scopeParams(scope)
  const { join, key } = replicates(scope, params, blockSeconds)
  services.forEach((service, serviceIndex) => {
    params[`service${serviceIndex}`] = service
  })
  const inServices =
    services.length === 0
      ? ''
      : ` AND service IN (${services.map((_, serviceIndex) => `{service${serviceIndex}:String}`).join(', ')})`
  return {
    name: 'replicate_selves',
    params,
    sql: `SELECT ${key} AS replicate, any(stack_id), sum(value) FROM
        (SELECT series_id, intDiv(toUnixTimestamp(time), {block:UInt32}) AS block, stack_id, toFloat64(sum(toInt128(value))) AS value
          FROM ${fromTable('samples', scope.range)}${scopeConditions(scope, params)}${sampleConditions(scope, params)} GROUP BY series_id, block, stack_id) AS s
        ANY LEFT JOIN (SELECT stack_id, frames[1] AS leaf FROM ${fromTable('stacks')}${inServices}) AS k USING (stack_id)${join}
      GROUP BY replicate, leaf`,
  }
}
