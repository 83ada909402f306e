import { type FrameKind, parseProfileTypeId } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, type Meta, readMeta } from './coverage.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import { buildFromSums, checkView, readFunctionSums, type View } from './trees.ts'

export interface FunctionsAnswer {
  unit: string
  /** Of the stacks that focus leaves: what passes through it, each stack once. */
  total: number
  /** Of all stacks of the selection. */
  whole: number
  /** Both with every digit, of means three after the point. */
  wholeExact: string
  totalExact: string
  functions: {
    name: string
    file: string
    module: string
    kind: FrameKind
    self: number
    total: number
  }[]
  omitted: { functions: number; self: number }
  meta: Meta
}

/**
 * Self and total of every function, or group, from all stacks; by a label one row for each of its values. search: text in a name or file, case ignored. omitted:
 * those that matched the search and are past the limit.
 */
export async function queryFunctions(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & View & { sort: 'self' | 'total'; limit: number; search: string },
  signal: AbortSignal | undefined,
): Promise<FunctionsAnswer> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  checkView(input)
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const build = async () => {
    const { sort, limit, search } = input
    const { sums, stacks } = await readFunctionSums(context, scope, input, usage, signal)
    const work = { kind: 'functions', sort, limit, search, ...(sums ? { sums } : {}) } as const
    return buildFromSums(context, scope, stacks, input, work, usage, signal)
  }
  const [{ functions, omitted, total, whole, wholeExact, totalExact }, meta] = await Promise.all([
    build(),
    readMeta(context, scope, usage, signal),
  ])
  return {
    unit: parseProfileTypeId(scope.type).sampleUnit,
    total,
    totalExact,
    whole,
    wholeExact,
    functions: functions.map(({ frame, self, total: ofFunction }) => ({
      name: frame.name,
      file: frame.file,
      module: frame.module,
      kind: frame.kind,
      self,
      total: ofFunction,
    })),
    omitted,
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}
