import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import { selectCoverage } from '../storage/select/statements.ts'
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
  rowsRead: number
  bytesRead: number
  elapsedMs: number
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
]

/** One step that is longer than any range: a single row for each group. */
export const wholeRange = 2 ** 31

export async function readMeta(
  context: QueryContext,
  scope: Scope,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<Omit<Meta, keyof ReadUsage | 'elapsedMs'>> {
  const [row] = await context.reader.rows<CoverageRow>(
    selectCoverage(scope, { by: [], stepSeconds: wholeRange, withMinutes: true }),
    usage,
    signal,
  )
  const { from, to } = scope.range
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
