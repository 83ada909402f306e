import { type LevelName, levels } from '../levels/level.ts'
import {
  fromTable,
  runConditions,
  type Scope,
  type SecondRange,
  type Statement,
  scopeConditions,
  scopeParams,
  seriesConditions,
} from './statement.ts'

/** Runs of one level that are read in place of their samples. */
export interface LevelPart {
  level: LevelName
  range: SecondRange
  /** Decimal text. */
  runIds: string[]
}

/** Samples that are read; services: only theirs, none for all of the scope's. */
export interface RawPart {
  range: SecondRange
  services: string[]
}

/** Parts that do not overlap and hold all samples of a range together. */
export interface LevelPlan {
  raw: RawPart[]
  levels: LevelPart[]
}

export type PeriodRow = [level: LevelName, start: number, runIds: string[], services: string[]]

/**
 * Rows: [level, period s, run ids, services without a run]. Periods with profiles of the scope's services and types
 * in the given ranges, and the runs that count for them: those of as many profiles as the period has.
 */
export function selectPeriods(
  scope: Scope,
  wanted: { level: LevelName; ranges: SecondRange[] }[],
): Statement {
  const params: Statement['params'] = { tenant: scope.tenant }
  const where = runConditions(scope, params)
  const within = (ranges: SecondRange[]) => ` AND (${ranges.map(inRange).join(' OR ')})`
  const counted = wanted.map(
    ({ level, ranges }) =>
      `SELECT '${level}' AS level, service, type, ${levels[level].seconds === 3600 ? 'toStartOfHour(time)' : 'time'} AS period, sum(profiles) AS profiles
        FROM ${fromLevel('totals_10m')}${within(ranges)}${where} GROUP BY service, type, period HAVING profiles > 0`,
  )
  const recorded = wanted.map(
    ({ level, ranges }) =>
      `SELECT level, service, type, time AS period, groupArray((profiles, at, run_id)) AS runs
        FROM ${fromLevel('level_state')} AND level = '${level}' AND step = 'recorded'${within(ranges)}${where} GROUP BY level, service, type, period`,
  )
  return {
    name: 'level_periods',
    params,
    sql: `SELECT level, toUInt32(period), groupArrayIf(toString(run), run != 0), groupUniqArrayIf(toString(service), run = 0)
      FROM (SELECT level, service, period, arrayReverseSort(arrayFilter(run -> run.1 = profiles, runs))[1].3 AS run
        FROM (${counted.join(' UNION ALL ')}) AS p
        ANY LEFT JOIN (${recorded.join(' UNION ALL ')}) AS s USING (level, service, type, period))
      GROUP BY level, period`,
  }
}

/**
 * RowBinary: [value of the label String if one is given], stack_id UInt64, sum Int128. Sums over the parts of a plan;
 * '' for what has no such label.
 */
export function selectPlannedStackSums(scope: Scope, plan: LevelPlan, label: string | null): Statement {
  const params: Statement['params'] = { tenant: scope.tenant }
  if (label === null) {
    const parts = planParts(scope, plan, params, () => 'stack_id')
    return {
      name: 'planned_stack_sums',
      params,
      sql: `SELECT stack_id, sum(value) FROM (${parts.map(({ sql }) => sql).join(' UNION ALL ')}) GROUP BY stack_id`,
    }
  }
  params.root = label
  const parts = planParts(scope, plan, params, id => `${id}, stack_id`).map(
    ({ id, sql }) => `SELECT label_value, stack_id, value
      FROM (SELECT ${id}, stack_id, sum(value) AS value FROM (${sql}) GROUP BY ${id}, stack_id) AS s
      ANY LEFT JOIN (SELECT ${id}, any(labels[{root:String}]) AS label_value FROM ${fromTable('series')}${seriesConditions(scope, params)} GROUP BY ${id}) AS known USING (${id})`,
  )
  return {
    name: 'planned_stack_sums_by_label',
    params,
    sql: `SELECT label_value, stack_id, sum(value) FROM (${parts.join(' UNION ALL ')}) GROUP BY label_value, stack_id`,
  }
}

/** RowBinary: frame_id UInt64, self Int128, total Int128. Sums over runs of functions_1h; ids as it has them. */
export function selectLevelFunctions(scope: Scope, { range, runIds }: LevelPart): Statement {
  const params: Statement['params'] = { tenant: scope.tenant }
  return {
    name: 'level_functions',
    params,
    sql: `SELECT frame_id, sum(self), sum(total) FROM ${fromLevel('functions_1h')} AND ${inRange(range)} AND run_id IN (${runIds.map(checkedId).join(',')})${scopeConditions(scope, params, 'group_id')} GROUP BY frame_id`,
  }
}

/**
 * The row of selectCoverage for a whole range of a type that adds up, by labels of groups: counts are of the whole ten
 * minutes that the range touches, the covered time is in whole minutes of the range.
 */
export function selectCoverageByTen(scope: Scope): Statement {
  const params: Statement['params'] = { tenant: scope.tenant }
  const { from, to } = scope.range
  const touched = { from: floorTo(from, 600), to: to + 600 - 1 - ((to - 1) % 600) }
  // Bits of minutes before the range and after it.
  const wanted = `bitAnd(bitShiftLeft(toUInt32(1023), intDiv(greatest(${from}, toUInt32(time)) - toUInt32(time), 60)),
      bitShiftLeft(toUInt32(1), least(10, intDiv(${to} - toUInt32(time) + 59, 60))) - 1)`
  return {
    name: 'coverage_by_ten',
    params,
    sql: `SELECT []::Array(String), toUInt32(0), toUInt32(sum(profiles)), toString(sum(value)), toFloat64(sum(covered) * 60000),
        toFloat64(max(toUnixTimestamp(time)) + 600) * 1000, toFloat64(sum(expected)), toFloat64(sum(lost)), toFloat64(sum(truncated)),
        toFloat64(sum(unsymbolized)), toUInt32(sum(covered)), toUInt32(sum(retimed)), toUInt32(0)
      FROM (SELECT time, sum(profiles) AS profiles, sum(value) AS value, sum(expected) AS expected, sum(lost) AS lost,
          sum(truncated) AS truncated, sum(unsymbolized) AS unsymbolized, sum(retimed) AS retimed,
          bitCount(bitAnd(groupBitOr(minutes), ${wanted})) AS covered
        FROM ${fromLevel('totals_10m')} AND ${inRange(touched)}${scopeConditions(scope, params, 'group_id')} GROUP BY time)`,
  }
}

type SeriesId = 'series_id' | 'group_id'

/** Each part as a SELECT of columns and `value` Int128, with the id that tells its series apart. */
function planParts(
  scope: Scope,
  plan: LevelPlan,
  params: Statement['params'],
  columns: (id: SeriesId) => string,
): { id: SeriesId; sql: string }[] {
  const parts = plan.levels.map(({ level, range, runIds }) => {
    const id: SeriesId = level === 'series_1h' ? 'series_id' : 'group_id'
    return {
      id,
      sql: `SELECT ${columns(id)}, value FROM ${fromLevel(level)} AND ${inRange(range)} AND run_id IN (${runIds.map(checkedId).join(',')})${scopeConditions(scope, params, id)}`,
    }
  })
  if (plan.raw.length > 0) {
    const range = { from: plan.raw[0]!.range.from, to: plan.raw.at(-1)!.range.to }
    Object.assign(params, scopeParams({ ...scope, range }))
    const ranges = plan.raw.map(({ range: of, services }, partIndex) => {
      const names = services.map((service, serviceIndex) => {
        params[`raw${partIndex}_${serviceIndex}`] = service
        return `{raw${partIndex}_${serviceIndex}:String}`
      })
      const hours = `toStartOfHour(time) >= toDateTime(${floorTo(of.from, 3600)}) AND toStartOfHour(time) <= toDateTime(${floorTo(of.to - 1, 3600)})`
      return `(${hours} AND ${inRange(of)}${names.length > 0 ? ` AND service IN (${names.join(', ')})` : ''})`
    })
    parts.push({
      id: 'series_id',
      sql: `SELECT ${columns('series_id')}, toInt128(value) AS value FROM ${fromTable('samples', range)} AND (${ranges.join(' OR ')})${scopeConditions(scope, params)}`,
    })
  }
  return parts
}

/** Tables that are read by runs and periods; continue with ` AND ...`, a range of time among them. */
function fromLevel(table: LevelName | 'totals_10m' | 'level_state'): string {
  return `${table} WHERE tenant = {tenant:String}`
}

function inRange({ from, to }: SecondRange): string {
  return `(time >= toDateTime(${Math.trunc(from)}) AND time < toDateTime(${Math.trunc(to)}))`
}

function checkedId(id: string): string {
  if (!/^\d{1,20}$/.test(id)) throw new TypeError(`not an id: ${id}`)
  return id
}

function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step
}
