import { collidedLabelName, mapLabelName, SAMPLE_LABEL_PREFIX } from '@strobe/profile'

/**
 * Where reading SQL gets its FROM. `fromTable` is the only way to name a table, so that no statement can
 * forget the tenant, or the hour range without which a read of `samples` opens every granule: the
 * engine does not derive toStartOfHour(time) from a range of time (9,629 granules against 402).
 */

export interface Statement {
  /** For logs, limits and metrics. */
  name: string
  sql: string
  params: Record<string, string | number>
}

/** Whole seconds since the epoch, from inclusive, to exclusive. */
export interface SecondRange {
  from: number
  to: number
}

export interface LabelMatcher {
  name: string
  op: '=' | '!=' | '=~' | '!~'
  value: string
}

/** What a query is about. An empty list of types means every type. */
export interface Scope {
  tenant: string
  range: SecondRange
  types: string[]
  matchers: LabelMatcher[]
  /** Start of the range as asked for, when it begins before what is kept. */
  askedFrom?: number
}

type Width = 'wide' | 'held'

const edges = { range: ['from', 'to'], wide: ['wideFrom', 'wideTo'], held: ['heldFrom', 'to'] } as const

export type TimedTable = 'samples' | 'profiles' | 'totals_1m'
export type UntimedTable =
  | 'series'
  | 'stacks'
  | 'frames'
  | 'functions'
  | 'agents'
  | 'labelsets'
  | 'sample_labels'

/**
 * `TABLE WHERE tenant = ...` and, for tables with a time, the range; continue with ` AND ...`.
 * wide: between the parameters wideFrom and wideTo, for profiles around the range; held: from heldFrom on, for what
 * reaches into it.
 */
export function fromTable(table: TimedTable, range: SecondRange, width?: Width): string
export function fromTable(table: UntimedTable): string
export function fromTable(table: TimedTable | UntimedTable, range?: SecondRange, width?: Width): string {
  const base = `${table} WHERE tenant = {tenant:String}`
  if (table !== 'samples' && table !== 'profiles' && table !== 'totals_1m') return base
  if (!range) throw new TypeError(`${table} is never read without a range of time`)
  const [first, last] = edges[width ?? 'range']
  const [from, to] = [`{${first}:UInt32}`, `{${last}:UInt32}`]
  switch (table) {
    case 'samples':
      return `${base} AND toStartOfHour(time) BETWEEN toStartOfHour(toDateTime(${from})) AND toStartOfHour(toDateTime(${to})) AND time >= toDateTime(${from}) AND time < toDateTime(${to})`
    case 'profiles':
      return `${base} AND time >= toDateTime64(${from}, 3) AND time < toDateTime64(${to}, 3)`
    case 'totals_1m':
      return `${base} AND time >= toStartOfMinute(toDateTime(${from})) AND time < toDateTime(${to})`
  }
}

export function scopeParams(scope: Scope): Record<string, string | number> {
  return { tenant: scope.tenant, from: scope.range.from, to: scope.range.to }
}

/**
 * ` AND ...` for the types, the service and the labels of a scope, on a table that has service, type and
 * series_id. Adds what it names to params. Labels are matched in `series`, by a subquery: no list of
 * ids leaves the store. id: what tells series apart; group_id only for labels that groups keep apart.
 */
export function scopeConditions(
  scope: Scope,
  params: Statement['params'],
  id: 'series_id' | 'group_id' = 'series_id',
): string {
  const conditions = [...typeConditions(scope, params), ...serviceConditions(scope, params)]
  const labels = labelConditions(scope, params)
  if (labels.length > 0)
    conditions.push(
      `${id} IN (SELECT ${id} FROM ${fromTable('series')}${and([...typeConditions(scope, params), ...serviceConditions(scope, params), ...labels])})`,
    )
  return and(conditions)
}

/** The same without the labels: a run of a level sums all series of a service and type. */
export function runConditions(scope: Scope, params: Statement['params']): string {
  return and([...typeConditions(scope, params), ...serviceConditions(scope, params)])
}

/** The same for the table `series` itself. */
export function seriesConditions(scope: Scope, params: Statement['params']): string {
  return and([
    ...typeConditions(scope, params),
    ...serviceConditions(scope, params),
    ...labelConditions(scope, params),
  ])
}

/** ` AND ...` for the service alone, on a table that has no series. */
export function serviceCondition(scope: Scope, params: Statement['params']): string {
  return and(serviceConditions(scope, params))
}

export function and(conditions: string[]): string {
  return conditions.map(condition => ` AND ${condition}`).join('')
}

function typeConditions(scope: Scope, params: Statement['params']): string[] {
  if (scope.types.length === 0) return []
  scope.types.forEach((type, typeIndex) => {
    params[`type${typeIndex}`] = type
  })
  return [`type IN (${scope.types.map((_, typeIndex) => `{type${typeIndex}:String}`).join(', ')})`]
}

function serviceConditions(scope: Scope, params: Statement['params']): string[] {
  return scope.matchers.flatMap((matcher, matcherIndex) =>
    matcher.name === 'service_name'
      ? [matchCondition('service', matcher, `match${matcherIndex}`, params)]
      : [],
  )
}

function labelConditions(scope: Scope, params: Statement['params']): string[] {
  return scope.matchers.flatMap((matcher, matcherIndex) => {
    if (matcher.name === 'service_name' || isSampleLabel(matcher.name)) return []
    const column = labelColumn(matcher.name, `label${matcherIndex}`, params)
    return [matchCondition(column, matcher, `match${matcherIndex}`, params)]
  })
}

/** ` AND ...` for the sample labels of a scope, on `samples`: the only table that knows them. */
export function sampleConditions(scope: Scope, params: Statement['params']): string {
  return and(
    scope.matchers.flatMap((matcher, matcherIndex) => {
      if (!isSampleLabel(matcher.name)) return []
      const column = labelColumn(sampleLabelName(matcher.name), `label${matcherIndex}`, params)
      const condition = matchCondition(column, matcher, `match${matcherIndex}`, params)
      // The empty set has no row of its own.
      const ofNone = matchCondition("''", matcher, `match${matcherIndex}`, params)
      return [
        `(labelset_id IN (SELECT labelset_id FROM ${fromTable('labelsets')} AND ${condition}) OR (labelset_id = 0 AND ${ofNone}))`,
      ]
    }),
  )
}

export function isSampleLabel(name: string): boolean {
  return name.startsWith(SAMPLE_LABEL_PREFIX)
}

export function sampleLabelName(name: string): string {
  return name.slice(SAMPLE_LABEL_PREFIX.length)
}

/**
 * The value of a label by its stored name or its original one, '' without it: a missing key of a Map reads
 * as '', which is what a selector means by an absent label.
 */
export function labelColumn(name: string, param: string, params: Statement['params']): string {
  const mapped = mapLabelName(name)
  params[param] = mapped
  if (mapped === name) return `labels[{${param}:String}]`
  params[`${param}Collided`] = collidedLabelName(name)
  return `if(mapContains(labels, {${param}Collided:String}), labels[{${param}Collided:String}], labels[{${param}:String}])`
}

function matchCondition(
  column: string,
  matcher: LabelMatcher,
  param: string,
  params: Statement['params'],
): string {
  const isRegex = matcher.op === '=~' || matcher.op === '!~'
  // As Prometheus 3 has it: anchored at both ends, and a dot takes line breaks too.
  params[param] = isRegex ? `^(?s:${matcher.value})$` : matcher.value
  switch (matcher.op) {
    case '=':
      return `${column} = {${param}:String}`
    case '!=':
      return `${column} != {${param}:String}`
    case '=~':
      return `match(${column}, {${param}:String})`
    case '!~':
      return `NOT match(${column}, {${param}:String})`
  }
}

/** 64-bit ids as a list of literals: numbers by their type, so nothing else can stand there. */
export function idList(ids: BigUint64Array): string {
  return ids.join(',')
}
