import { collidedLabelName, mapLabelName } from '@strobe/profile'
import { fromTable, type Scope, type Statement, scopeParams, serviceCondition } from './statement.ts'

/**
 * Labels of samples, by the service of the scope's selector; its other labels do not count here, and times only
 * by their day: which samples had a label when is known to `samples` alone.
 */

/** Rows: [name], sorted. Names as stored, without a prefix. */
export function selectSampleLabelNames(scope: Scope): Statement {
  const params = scopeParams(scope)
  return {
    name: 'sample_label_names',
    params,
    sql: `SELECT DISTINCT name FROM ${fromTable('sample_labels')}${onDays}${serviceCondition(scope, params)} ORDER BY name`,
  }
}

/** Rows: [value, number of all values], sorted, at most `limit`. label: as stored or as it was sent. */
export function selectSampleLabelValues(scope: Scope, label: string, limit: number): Statement {
  const params: Statement['params'] = {
    ...scopeParams(scope),
    label: mapLabelName(label),
    collided: collidedLabelName(label),
    limit,
  }
  return {
    name: 'sample_label_values',
    params,
    sql: `SELECT value, toUInt32(count() OVER ()) FROM (
        SELECT DISTINCT value FROM ${fromTable('sample_labels')} AND name IN ({label:String}, {collided:String})${onDays}${serviceCondition(scope, params)})
      ORDER BY value LIMIT {limit:UInt32}`,
  }
}

/** Rows: [unit], one when the label is a number's, '' when that has no unit; none for text. label: as above. */
export function selectSampleLabelUnit(tenant: string, label: string): Statement {
  return {
    name: 'sample_label_unit',
    params: { tenant, label: mapLabelName(label), collided: collidedLabelName(label) },
    sql: `SELECT units[{label:String}] || units[{collided:String}] FROM ${fromTable('labelsets')}
      AND (mapContains(units, {label:String}) OR mapContains(units, {collided:String})) LIMIT 1`,
  }
}

const onDays =
  ' AND first_seen <= toDate(toDateTime({to:UInt32})) AND last_seen >= toDate(toDateTime({from:UInt32}))'
