import { parseProfileTypeId, type ValueKind } from '@strobe/profile'
import { selectAmounts } from '../storage/select/amounts.ts'
import { selectCoverage, selectCoverageByMinute } from '../storage/select/coverage.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import { isSampleLabel, type Scope, type SecondRange } from '../storage/select/statement.ts'
import type { QueryContext } from './context.ts'
import { type CoverageRow, finishMeta, kindOf, type Meta, readMeta } from './coverage.ts'
import { rateUnit } from './profile-types.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'

export interface SeriesAnswer {
  unit: string
  stepMs: number
  series: { labels: Record<string, string>; points: [ms: number, value: number | null][] }[]
  /** Lines past the hundred largest. */
  omitted: number
  meta: Meta
}

type Rate = [key: string[], step: number, value: number]

// Beyond, minute totals are exact enough and read six times less.
const exactSeconds = 2 * 86_400
const steps = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800]
const maxSeries = 100
// Counters are sent once a minute or oftener; shorter steps would be empty between two profiles.
const minCounterStep = 60

/**
 * A type over time, one line per combination of the labels in `by`, at most 100, largest first.
 *
 * A rate is the value of the profiles that start in the step, divided by the time they cover together
 * (cores for cpu: a host that reports half of a step is not diluted by the other half). Profiles without a
 * duration are spread over the whole step. A gauge is the mean of its level, a counter what it gained per second.
 * null: nothing reported.
 */
export async function querySeries(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & { by: string[]; points: number },
  signal: AbortSignal | undefined,
): Promise<SeriesAnswer> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveSelection(context, tenant, input, usage, signal, 'profiles')
  const type = parseProfileTypeId(scope.type)
  const kind = kindOf(scope)
  const stepSeconds = chooseStep(scope.range, input.points, kind === 'cumulative' ? minCounterStep : 0)
  const { unit, factor } = rateUnit(type)
  const grouping = { by: input.by, stepSeconds }
  const isLong = kind === 'sum' && scope.range.to - scope.range.from > exactSeconds && stepSeconds >= 60
  const rowsOf = async (): Promise<Rate[]> => {
    if ([...input.by, ...scope.matchers.map(({ name }) => name)].some(isSampleLabel))
      return readSampleRates(context, scope, input.by, stepSeconds, factor, usage, signal)
    const statement = isLong
      ? selectCoverageByMinute(scope, grouping)
      : selectCoverage(scope, kind, { ...grouping, withMinutes: false })
    const rows = await context.reader.rows<CoverageRow>(statement, usage, signal)
    return rows.flatMap(([key, step, , amount, coveredMs]) => {
      const seconds = coveredSeconds(coveredMs, kind, stepSeconds)
      return seconds === 0 ? [] : [[key, step, (Number(amount) * factor) / seconds]]
    })
  }
  const [rows, meta] = await Promise.all([rowsOf(), readMeta(context, scope, usage, signal)])

  const groups = new Map<string, { key: string[]; sum: number; values: Map<number, number> }>()
  for (const [key, step, value] of rows) {
    const id = JSON.stringify(key)
    let group = groups.get(id)
    if (!group) {
      group = { key, sum: 0, values: new Map() }
      groups.set(id, group)
    }
    group.values.set(step, value)
    group.sum += value
  }
  const largest = [...groups.values()].sort((a, b) => b.sum - a.sum)
  const omitted = Math.max(0, largest.length - maxSeries)
  largest.length -= omitted
  const stepStarts = listSteps(scope.range, stepSeconds)
  return {
    unit,
    stepMs: stepSeconds * 1000,
    series: largest.map(({ key, values }) => ({
      labels: Object.fromEntries(input.by.map((name, nameIndex) => [name, key[nameIndex] ?? ''])),
      points: stepStarts.map(start => [start * 1000, values.get(start) ?? null]),
    })),
    omitted,
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}

/** The first profile of a counter covers nothing: it has no rate yet, 0. */
function coveredSeconds(coveredMs: number, kind: ValueKind, stepSeconds: number): number {
  if (coveredMs > 0) return coveredMs / 1000
  return kind === 'cumulative' ? 0 : stepSeconds
}

/**
 * Rates by labels of samples, or of some samples only: amounts come from the samples, the time that they are of
 * from the profiles, whichever samples those have.
 */
async function readSampleRates(
  context: QueryContext,
  scope: Scope,
  by: string[],
  stepSeconds: number,
  factor: number,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<Rate[]> {
  const kind = kindOf(scope)
  const ofSeries = by.flatMap((name, nameIndex) => (isSampleLabel(name) ? [] : [nameIndex]))
  const grouping = { by: ofSeries.map(nameIndex => by[nameIndex]!), stepSeconds, withMinutes: false }
  const [covered, amounts] = await Promise.all([
    context.reader.rows<CoverageRow>(selectCoverage(scope, kind, grouping), usage, signal),
    context.reader.rows<[key: string[], step: number, amount: string | number]>(
      selectAmounts(scope, kind, { isByStack: false, by, stepSeconds }),
      usage,
      signal,
    ),
  ])
  const stepsOf = new Map<string, [step: number, seconds: number][]>()
  for (const [key, step, , , coveredMs] of covered) {
    const seconds = coveredSeconds(coveredMs, kind, stepSeconds)
    const id = JSON.stringify(key)
    if (seconds > 0) stepsOf.set(id, [...(stepsOf.get(id) ?? []), [step, seconds]])
  }
  const groups = new Map<string, { key: string[]; amounts: Map<number, number> }>()
  for (const [key, step, amount] of amounts) {
    const id = JSON.stringify(key)
    const group = groups.get(id) ?? { key, amounts: new Map<number, number>() }
    group.amounts.set(step, Number(amount))
    groups.set(id, group)
  }
  // Where profiles were and none of their samples matched, the rate is zero, not unknown.
  return [...groups.values()].flatMap(({ key, amounts: ofGroup }) =>
    (stepsOf.get(JSON.stringify(ofSeries.map(nameIndex => key[nameIndex] ?? ''))) ?? []).map(
      ([step, seconds]): Rate => [key, step, ((ofGroup.get(step) ?? 0) * factor) / seconds],
    ),
  )
}

/** The shortest round step that needs no more than `points` steps; 10 s, an agent's window, or `least` at least. */
export function chooseStep(range: SecondRange, points: number, least = 0): number {
  const wanted = Math.max(least, (range.to - range.from) / points)
  return steps.find(step => step >= wanted) ?? Math.ceil(wanted / 604_800) * 604_800
}

function listSteps(range: SecondRange, stepSeconds: number): number[] {
  const starts: number[] = []
  for (let start = Math.floor(range.from / stepSeconds) * stepSeconds; start < range.to; start += stepSeconds)
    starts.push(start)
  return starts
}
