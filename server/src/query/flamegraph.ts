import { parseProfileTypeId } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, type Meta, readMeta } from './coverage.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import { type TreeColumnsAnswer, treeColumns } from './tree-columns.ts'
import { buildFromSums, checkView, readStackSums, rootLabel, type View } from './trees.ts'

export interface FlamegraphAnswer extends TreeColumnsAnswer {
  unit: string
  /** Of the tree's root. */
  total: number
  /** Of all stacks of the selection, those that focus leaves out too. */
  whole: number
  /** Both with every digit, of means three after the point. */
  wholeExact: string
  totalExact: string | null
  omitted: { nodes: number; weight: number }
  meta: Meta
}

/**
 * The call tree of a selection with at most `nodes` nodes; smaller ones, and those more than `depth` levels
 * down, are folded into one per parent.
 * at: JSON array of frame names from the root down, or a path hash; '' for the whole tree. The answer is the
 * tree below that frame, pruned by itself.
 * Throws BAD_REGEX, BAD_REQUEST when `at` is no path, NOT_FOUND when nothing lies there.
 */
export async function queryFlamegraph(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & View & { nodes: number; depth: number; at: string },
  signal: AbortSignal | undefined,
): Promise<FlamegraphAnswer> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  checkView(input)
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const build = async () => {
    const sums = await readStackSums(context, scope, rootLabel(input), usage, signal)
    const { nodes, depth, at } = input
    return buildFromSums(context, scope, sums, input, { kind: 'flamegraph', nodes, depth, at }, usage, signal)
  }
  const [{ tree, omitted, whole, wholeExact, totalExact }, meta] = await Promise.all([
    build(),
    readMeta(context, scope, usage, signal),
  ])
  return {
    unit: parseProfileTypeId(scope.type).sampleUnit,
    total: tree.total[0] ?? 0,
    totalExact,
    whole,
    wholeExact,
    ...treeColumns(tree),
    omitted,
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}
