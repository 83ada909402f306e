import { parseProfileTypeId, valueKindOf } from '@strobe/profile'
import { isLeveled, type LevelName, levels } from '../storage/levels/level.ts'
import { selectStackAmounts } from '../storage/select/amounts.ts'
import {
  type LevelPlan,
  type PeriodRow,
  selectLevelFunctions,
  selectPeriods,
  selectPlannedStackSums,
} from '../storage/select/level-statements.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope, SecondRange, Statement } from '../storage/select/statement.ts'
import { selectStackSums } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { areGroupLabels } from './coverage.ts'

// Of a shorter range the samples of an hour are opened in any case, and looking for levels costs as much.
export const leastSeconds = 1800
// Text of the plan stays under the reader's query size, and names of services under a request line's.
const maxRunIds = 20_000
const maxRawParts = 64
const maxHoleNames = 20
const maxHoleNameLength = 100
// Hours are summed a few minutes after they end; what is older and has no run is read from samples.
const recentSeconds = 3 * 3600

/** What of a query's context a plan needs. */
export type PlanContext = Pick<QueryContext, 'reader' | 'now' | 'levels' | 'groupLabels'>

/**
 * The statement that sums a scope by stack, from levels where they are exact. label: sums are also kept apart by its
 * values, which stand before the stack.
 */
export async function planStackSums(
  context: PlanContext,
  scope: Scope & { type: string },
  label: string | null,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<Statement> {
  const labels = [...scope.matchers, ...(label === null ? [] : [{ name: label }])]
  const long = areGroupLabels(context, scope, labels) ? 'group_1h' : 'series_1h'
  const plan = areLevelLabels(labels) ? await planLevels(context, scope, [long], usage, signal) : null
  if (plan) return selectPlannedStackSums(scope, plan, label)
  usage.levels = ['samples']
  const kind = valueKindOf(parseProfileTypeId(scope.type))
  return kind === 'sum' && label === null ? selectStackSums(scope) : selectStackAmounts(scope, kind, label)
}

/**
 * The statements that sum a scope by function: `functions` from levels, `stacks` for the rest, null where none is left.
 * null when levels have no functions of it: then all are summed as stacks.
 */
export async function planFunctionSums(
  context: PlanContext,
  scope: Scope & { type: string },
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<{ functions: Statement; stacks: Statement | null } | null> {
  if (!areGroupLabels(context, scope, scope.matchers)) return null
  const plan = await planLevels(context, scope, ['functions_1h', 'group_1h'], usage, signal)
  const functions = plan?.levels.find(({ level }) => level === 'functions_1h')
  if (!plan || !functions) return null
  const rest = { ...plan, levels: plan.levels.filter(part => part !== functions) }
  return {
    functions: selectLevelFunctions(scope, functions),
    stacks: rest.levels.length + rest.raw.length > 0 ? selectPlannedStackSums(scope, rest, null) : null,
  }
}

/** Labels of samples are not in the levels; their names have a dot. */
function areLevelLabels(labels: { name: string }[]): boolean {
  return labels.every(({ name }) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
}

/**
 * What of a scope's range is read from hours, of the first of some levels that has them, and from ten minutes; null
 * when only samples answer. Says in usage which tables a plan reads.
 */
async function planLevels(
  context: PlanContext,
  scope: Scope,
  long: LevelName[],
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<LevelPlan | null> {
  const { range, types } = scope
  if (!context.levels || range.to - range.from < leastSeconds) return null
  if (types.length !== 1 || !isLeveled(types[0]!)) return null
  const nowSeconds = Math.floor(context.now() / 1000)
  const hours = inner(range, 3600)
  const wanted = long.map(level => ({ level, ranges: hours ? [hours] : [] }))
  // Of labels that make no groups there are no ten-minute sums.
  if (long.includes('group_1h')) {
    const kept = { from: nowSeconds - Math.floor(context.levels.shortKeepMs / 1000), to: range.to }
    const ends = hours
      ? [
          { from: range.from, to: hours.from },
          { from: Math.max(hours.from, hours.to - recentSeconds), to: range.to },
        ]
      : [range]
    const tens = ends.flatMap(end => inner(intersect(end, kept), 600) ?? [])
    wanted.push({ level: 'group_10m', ranges: tens })
  }
  const asked = wanted.filter(({ ranges }) => ranges.length > 0)
  if (asked.length === 0) return null
  const rows = await context.reader.rows<PeriodRow>(selectPeriods(scope, asked), usage, signal)
  const plan = assemblePlan(range, hours, rows, long)
  if (plan.levels.length === 0) return null
  usage.levels = [
    ...new Set([...plan.levels.map(({ level }) => level), ...(plan.raw.length > 0 ? ['samples'] : [])]),
  ]
  return plan
}

/**
 * hours: whole hours of the range that were asked for; those without a row have no profiles. long: levels of hours, the
 * first that has most of one is read.
 */
export function assemblePlan(
  range: SecondRange,
  hours: SecondRange | null,
  rows: PeriodRow[],
  long: LevelName[],
): LevelPlan {
  const parts = new Map<LevelName, { range: SecondRange; runIds: string[] }>()
  const take = (level: LevelName, period: SecondRange, runIds: string[]) => {
    const part = parts.get(level)
    if (!part) parts.set(level, { range: { ...period }, runIds: [...runIds] })
    else {
      part.range.from = Math.min(part.range.from, period.from)
      part.range.to = Math.max(part.range.to, period.to)
      for (const runId of runIds) part.runIds.push(runId)
    }
  }
  const raw: LevelPlan['raw'] = []
  const periodOf = ([level, from]: PeriodRow) => ({ from, to: from + levels[level].seconds })
  // Seconds that no hour answers for.
  let left = hours
    ? [
        { from: range.from, to: hours.from },
        { from: hours.to, to: range.to },
      ]
    : [range]
  const best = new Map<number, PeriodRow>()
  for (const row of rows) {
    if (levels[row[0]].seconds !== 3600) continue
    const known = best.get(row[1])
    const isBetter =
      !known ||
      row[3].length < known[3].length ||
      (row[3].length === known[3].length && long.indexOf(row[0]) < long.indexOf(known[0]))
    if (isBetter) best.set(row[1], row)
  }
  for (const row of best.values()) {
    const [level, , runIds, services] = row
    const areFew =
      services.length <= maxHoleNames && services.every(service => service.length <= maxHoleNameLength)
    if (runIds.length === 0 || !areFew) left.push(periodOf(row))
    else {
      take(level, periodOf(row), runIds)
      if (services.length > 0) raw.push({ range: periodOf(row), services })
    }
  }
  for (const row of rows) {
    const [level, , runIds, services] = row
    const period = periodOf(row)
    if (levels[level].seconds !== 600 || services.length > 0) continue
    if (!left.some(({ from, to }) => period.from >= from && period.to <= to)) continue
    take(level, period, runIds)
    left = left.flatMap(each => without(each, period))
  }
  for (const rest of merged(left)) raw.push({ range: rest, services: [] })
  raw.sort((a, b) => a.range.from - b.range.from)
  const runs = [...parts.values()].reduce((sum, { runIds }) => sum + runIds.length, 0)
  if (runs > maxRunIds || raw.length > maxRawParts) return { raw: [{ range, services: [] }], levels: [] }
  return { raw, levels: [...parts].map(([level, part]) => ({ level, ...part })) }
}

/** Whole periods inside a range; null when there are none. */
function inner({ from, to }: SecondRange, seconds: number): SecondRange | null {
  const whole = { from: Math.ceil(from / seconds) * seconds, to: Math.floor(to / seconds) * seconds }
  return whole.from < whole.to ? whole : null
}

function intersect(a: SecondRange, b: SecondRange): SecondRange {
  return { from: Math.max(a.from, b.from), to: Math.min(a.to, b.to) }
}

function without(range: SecondRange, hole: SecondRange): SecondRange[] {
  if (hole.to <= range.from || hole.from >= range.to) return [range]
  return [
    { from: range.from, to: hole.from },
    { from: hole.to, to: range.to },
  ].filter(({ from, to }) => from < to)
}

function merged(ranges: SecondRange[]): SecondRange[] {
  const whole: SecondRange[] = []
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    if (from >= to) continue
    const last = whole.at(-1)
    if (last && last.to >= from) last.to = Math.max(last.to, to)
    else whole.push({ from, to })
  }
  return whole
}
