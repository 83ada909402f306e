import { parseProfileTypeId, type ValueKind, valueKindOf } from '@strobe/profile'
import { selectCoverage } from '../storage/select/coverage.ts'
import { selectCoverageByTen } from '../storage/select/level-statements.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import type { QueryContext } from './context.ts'

/** What an answer rests on. Counts are of samples, times unix ms. */
export interface Meta {
  from: number
  to: number
  profiles: number
  coveredSeconds: number
  expected: number
  lost: number
  truncated: number
  unsymbolized: number
  missingMinutes: number
  minutes: number
  /** Profiles that came without a time, or with one outside the accepted window, and stand at that of receipt. */
  retimed: number
  /** Times a counter began anew, as after a restart. */
  resets: number
  rowsRead: number
  bytesRead: number
  elapsedMs: number
  /** Start of the range as asked for, when it begins before what is kept; then `from` is where that begins. */
  askedFrom?: number
  /** Tables that sums over samples were read from, where an answer has such. */
  levels?: string[]
}

export type CoverageRow = [
  key: string[],
  stepStart: number,
  profiles: number,
  value: string,
  coveredMs: number,
  endMs: number,
  expected: number,
  lost: number,
  truncated: number,
  unsymbolized: number,
  minutes: number,
  retimed: number,
  resets: number,
]

/** One step that is longer than any range: a single row for each group. */
export const wholeRange = 2 ** 31

/** The kind of the scope's type; profiles of several types are only counted, like sums. */
export function kindOf(scope: Scope): ValueKind {
  const [type, ...others] = scope.types
  return type === undefined || others.length > 0 ? 'sum' : valueKindOf(parseProfileTypeId(type))
}

// Of a longer range every profile is not read to count them.
const longSeconds = 6 * 3600

/** Whether groups of series keep these labels apart: then what is summed by group answers as series would. */
export function areGroupLabels(
  context: Pick<QueryContext, 'groupLabels'>,
  { tenant, range }: Pick<Scope, 'tenant' | 'range'>,
  labels: readonly { name: string }[],
): boolean {
  const kept = context.groupLabels(tenant, range.from)
  return labels.every(({ name }) => kept.includes(name))
}

/**
 * What an answer rests on. Of ranges of six hours or more, of values that add up and by labels of groups, counts are
 * of the whole ten minutes that the range touches, and the covered time is counted in whole minutes.
 */
export async function readMeta(
  context: QueryContext,
  scope: Scope,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<Omit<Meta, keyof ReadUsage | 'elapsedMs'>> {
  const { from, to } = scope.range
  const kind = kindOf(scope)
  const isByTen = kind === 'sum' && to - from >= longSeconds && areGroupLabels(context, scope, scope.matchers)
  const [row] = await context.reader.rows<CoverageRow>(
    isByTen
      ? selectCoverageByTen(scope)
      : selectCoverage(scope, kind, { by: [], stepSeconds: wholeRange, withMinutes: true }),
    usage,
    signal,
  )
  // Minutes that have not begun are not missing.
  const end = Math.max(from, Math.min(to, Math.ceil(context.now() / 1000)))
  const minutes = Math.ceil(end / 60) - Math.floor(from / 60)
  return {
    from: from * 1000,
    to: to * 1000,
    profiles: row?.[2] ?? 0,
    coveredSeconds: (row?.[4] ?? 0) / 1000,
    expected: row?.[6] ?? 0,
    lost: row?.[7] ?? 0,
    truncated: row?.[8] ?? 0,
    unsymbolized: row?.[9] ?? 0,
    missingMinutes: Math.max(0, minutes - (row?.[10] ?? 0)),
    minutes,
    retimed: row?.[11] ?? 0,
    resets: row?.[12] ?? 0,
    ...(scope.askedFrom === undefined ? {} : { askedFrom: scope.askedFrom * 1000 }),
  }
}

/** Adds the cost of a query to what it rests on. */
export function finishMeta(
  meta: Omit<Meta, keyof ReadUsage | 'elapsedMs'>,
  usage: ReadUsage,
  startedAt: number,
  now: number,
): Meta {
  return { ...meta, ...usage, elapsedMs: Math.max(0, Math.round((now - startedAt) * 10) / 10) }
}
