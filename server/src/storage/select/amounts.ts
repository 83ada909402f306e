import type { ValueKind } from '@strobe/profile'
import { counterMarks, levelSource } from './profile-spans.ts'
import {
  fromTable,
  isSampleLabel,
  labelColumn,
  type Scope,
  type Statement,
  sampleConditions,
  sampleLabelName,
  scopeConditions,
  scopeParams,
  seriesConditions,
} from './statement.ts'

/** How amounts are kept apart. */
export interface AmountGrouping {
  isByStack: boolean
  /** Names of labels, of series or, led by `sample.`, of samples. */
  by: string[]
  /** null: the whole range is one step. */
  stepSeconds: number | null
}

/**
 * What samples add up to, for any kind of values: sums, value x seconds of gauges (the caller divides by the
 * covered time), gains of counters. All are Int128.
 *
 * Columns: key Array(String), [step UInt32 if stepSeconds is not null], [stack_id UInt64 if isByStack],
 * amount Int128.
 *
 * Cost: a gauge reads every sample of the range; a counter only those of the first and last profile of each
 * series, step and life, but of these the whole hours, as the order of the table has it.
 */
export function selectAmounts(scope: Scope, kind: ValueKind, grouping: AmountGrouping): Statement {
  const params = scopeParams(scope)
  const { by, stepSeconds, isByStack } = grouping
  const ofSeries = by.filter(name => !isSampleLabel(name))
  const ofSamples = by.filter(isSampleLabel)
  const own = [...(stepSeconds === null ? [] : ['step']), ...(isByStack ? ['stack_id'] : [])]
  const inner = [
    ...own,
    ...(ofSeries.length > 0 ? ['series_id'] : []),
    ...(ofSamples.length > 0 ? ['labelset_id'] : []),
  ]
  const source = amountSource(scope, kind, stepSeconds, inner, params)
  const columns = by.map(name =>
    isSampleLabel(name)
      ? `sample_values[${ofSamples.indexOf(name) + 1}]`
      : `series_values[${ofSeries.indexOf(name) + 1}]`,
  )
  // A join that finds nothing gives an empty array, whose elements read as ''.
  const key = `[${columns.join(', ')}]${by.length === 0 ? '::Array(String)' : ''} AS key`
  // Three parts of the statement need the marks; as one value they are worked out once.
  const known =
    kind === 'cumulative'
      ? `WITH (SELECT groupArray((series_id, second, step, life, sign)) FROM (${counterMarks(scope, stepSeconds, params)})) AS marks `
      : ''
  const joins: string[] = []
  if (ofSeries.length > 0)
    joins.push(
      ` ANY LEFT JOIN (${valuesOf(scope, 'series', ofSeries, params)}) AS of_series USING (series_id)`,
    )
  if (ofSamples.length > 0)
    joins.push(
      ` ANY LEFT JOIN (${valuesOf(scope, 'labelsets', ofSamples, params)}) AS of_samples USING (labelset_id)`,
    )
  return {
    name: `amounts_${kind}`,
    params,
    sql: `${known}SELECT ${[key, ...own, 'sum(amount) AS whole'].join(', ')} FROM (${source}) AS a${joins.join('')}
      GROUP BY ${['key', ...own].join(', ')} HAVING whole != 0`.replaceAll(/\s*\n\s*/g, ' '),
  }
}

function valuesOf(
  scope: Scope,
  table: 'series' | 'labelsets',
  names: string[],
  params: Statement['params'],
): string {
  const isSeries = table === 'series'
  const columns = names.map((name, nameIndex) =>
    labelColumn(isSeries ? name : sampleLabelName(name), `${table}By${nameIndex}`, params),
  )
  const array = `[${columns.join(', ')}]`
  return isSeries
    ? `SELECT series_id, ${array} AS series_values FROM ${fromTable('series')}${seriesConditions(scope, params)}`
    : `SELECT labelset_id, ${array} AS sample_values FROM ${fromTable('labelsets')}`
}

/**
 * RowBinary: stack_id UInt64, amount Int128; with a label, of series or samples, its value String before them, ''
 * for what has none.
 */
export function selectStackAmounts(scope: Scope, kind: ValueKind, label: string | null): Statement {
  const by = label === null ? [] : [label]
  const statement = selectAmounts(scope, kind, { isByStack: true, by, stepSeconds: null })
  const columns = label === null ? 'stack_id, whole' : 'key[1], stack_id, whole'
  return { ...statement, sql: `SELECT ${columns} FROM (${statement.sql})` }
}

/** SQL with the columns of `dimensions` and `amount`. */
function amountSource(
  scope: Scope,
  kind: ValueKind,
  step: number | null,
  dimensions: string[],
  params: Statement['params'],
): string {
  const columns = dimensions.map(column => `${column}, `).join('')
  const grouped = (more: string[] = []) => {
    const all = [...dimensions, ...more]
    return all.length === 0 ? '' : ` GROUP BY ${all.join(', ')}`
  }
  const where = () => `${scopeConditions(scope, params)}${sampleConditions(scope, params)}`
  switch (kind) {
    case 'sum': {
      if (step !== null) params.step = step
      const stepColumn =
        step === null
          ? ''
          : 'toUInt32(intDiv(toUnixTimestamp(time), {step:UInt32}) * {step:UInt32}) AS step, '
      return `SELECT ${columns}sum(value) AS amount FROM (SELECT ${stepColumn}series_id, stack_id, labelset_id, toInt128(value) AS value FROM ${fromTable('samples', scope.range)}${where()})${grouped()}`
    }
    case 'gauge': {
      const held = levelSource(scope, step, params)
      return `SELECT ${columns}sum(intDiv(weighed, profiles)) AS amount FROM (
          SELECT ${columns}profiles, sum(toInt128(value) * seconds) AS weighed
          FROM (SELECT series_id, time, stack_id, labelset_id, value FROM ${fromTable('samples', scope.range, 'held')}${where()}) AS s
          INNER JOIN (SELECT series_id, toDateTime(second) AS time, step, profiles, seconds FROM (${held})) AS l USING (series_id, time)
          ${grouped(['profiles'])})${grouped()}`
    }
    case 'cumulative': {
      const marks = `SELECT mark.1 AS series_id, toDateTime(mark.2) AS time, mark.3 AS step, mark.4 AS life, mark.5 AS sign FROM (SELECT arrayJoin(marks) AS mark)`
      // One value per stack and label set of a second: of profiles of one second the highest is the last.
      const values = `SELECT series_id, time, stack_id, labelset_id, max(toInt128(value)) AS value
        FROM ${fromTable('samples', scope.range, 'wide')}${where()}
          AND toStartOfHour(time) IN (SELECT toStartOfHour(time) FROM (${marks}))
          AND (series_id, time) IN (SELECT series_id, time FROM (${marks}))
        GROUP BY series_id, time, stack_id, labelset_id`
      const lives = [...new Set([...dimensions, 'series_id', 'life'])]
      // A stack that fell within a life began anew by itself.
      return `SELECT ${columns}sum(if(last >= first, last - first, last)) AS amount FROM (
          SELECT ${lives.join(', ')}, sumIf(value, sign > 0) AS last, sumIf(value, sign < 0) AS first
          FROM (${values}) AS v INNER JOIN (${marks}) AS m USING (series_id, time)
          GROUP BY ${lives.join(', ')})${grouped()}`
    }
  }
}
