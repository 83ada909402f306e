import { profileError } from './errors.ts'
import type { CallTree, FunctionTotal, TreeFrame } from './model.ts'
import { type PrunedTree, type PruneOptions, pruneSteps, runSteps } from './prune-tree.ts'
import { TreeDraft } from './tree-draft.ts'

/** Stacks in columns: stack i is stackFrame[stackOffset[i] .. stackOffset[i + 1]], leaf first. */
export interface StackColumns {
  /** stacks + 1 offsets into stackFrame. */
  stackOffset: ArrayLike<number>
  /** Indices into a list of frames. */
  stackFrame: ArrayLike<number>
}

/** What stands for the stack of a sample that has none. */
export const NO_STACK: TreeFrame = { name: '[no stack]', file: '', module: '', kind: 'none' }

/**
 * Sums stacks of one profile type into a call tree.
 *
 * values: one per stack, in the profile type's unit; negative in a diff.
 * frames: may hold the same frame several times; equal ones become one. An empty stack counts under the
 * frame NO_STACK. Siblings come by total, largest first, then by name.
 * Throws TREE_LENGTH_MISMATCH when stacks and values differ in number.
 */
export function buildCallTree(
  stacks: StackColumns,
  values: ArrayLike<number>,
  frames: readonly TreeFrame[],
): CallTree {
  const distinct = distinctFrames(frames)
  const stackCount = checkedCount(stacks, values)
  const draft = new TreeDraft()
  for (let stack = 0; stack < stackCount; stack++) {
    const first = stacks.stackOffset[stack]!
    const last = stacks.stackOffset[stack + 1]!
    const value = values[stack]!
    let node = first === last ? draft.child(0, distinct.noStack()) : 0
    for (let at = last - 1; at >= first; at--)
      node = draft.child(node, distinct.index[stacks.stackFrame[at]!]!)
    draft.self[node]! += value
  }
  draft.sumTotals()
  return runSteps(pruneSteps(draft, { maxNodes: draft.count, ...frameOrder(distinct.frames) })).tree
}

/**
 * Exact self and total of every function: a function counts once per stack, however often it stands on
 * it (cumulative values in google/pprof internal/graph). Largest self first, then total, then name.
 * Throws TREE_LENGTH_MISMATCH.
 */
export function functionTotals(
  stacks: StackColumns,
  values: ArrayLike<number>,
  frames: readonly TreeFrame[],
): FunctionTotal[] {
  const distinct = distinctFrames(frames)
  const stackCount = checkedCount(stacks, values)
  const self = new Float64Array(frames.length + 1)
  const total = new Float64Array(frames.length + 1)
  const lastStack = new Int32Array(frames.length + 1).fill(-1)
  for (let stack = 0; stack < stackCount; stack++) {
    const first = stacks.stackOffset[stack]!
    const last = stacks.stackOffset[stack + 1]!
    const value = values[stack]!
    if (first === last) {
      const none = distinct.noStack()
      self[none]! += value
      total[none]! += value
    } else self[distinct.index[stacks.stackFrame[first]!]!]! += value
    for (let at = first; at < last; at++) {
      const frame = distinct.index[stacks.stackFrame[at]!]!
      if (lastStack[frame] === stack) continue
      lastStack[frame] = stack
      total[frame]! += value
    }
  }
  const list: FunctionTotal[] = []
  for (const [frame, description] of distinct.frames.entries()) {
    if (self[frame] === 0 && total[frame] === 0) continue
    list.push({ frame: description, self: self[frame]!, total: total[frame]! })
  }
  return list.sort((a, b) => b.self - a.self || b.total - a.total || compareFrames(a.frame, b.frame))
}

/** pruneSteps over a whole tree; a tree within bounds comes back as it is. */
export function pruneCallTree(tree: CallTree, maxNodes: number, minShare = 0): PrunedTree {
  if (minShare === 0 && tree.parent.length <= maxNodes) return { tree, omitted: { nodes: 0, weight: 0 } }
  return runSteps(
    pruneSteps({ ...tree, count: tree.parent.length }, { maxNodes, minShare, ...frameOrder(tree.frames) }),
  )
}

/** How the columns of a tree name and order frames of a list. */
function frameOrder(frames: readonly TreeFrame[]): Pick<PruneOptions, 'compareFrames' | 'describeFrame'> {
  return {
    compareFrames: (a, b) => compareFrames(frames[a]!, frames[b]!),
    describeFrame: frame => frames[frame]!,
  }
}

/** By name, then module, file and kind, in code units. */
export function compareFrames(a: TreeFrame, b: TreeFrame): number {
  return (
    compareText(a.name, b.name) ||
    compareText(a.module, b.module) ||
    compareText(a.file, b.file) ||
    compareText(a.kind, b.kind)
  )
}

interface DistinctFrames {
  frames: TreeFrame[]
  /** For each given frame its place in `frames`. */
  index: Uint32Array
  /** The place of NO_STACK, added when first asked for. */
  noStack(): number
}

function distinctFrames(given: readonly TreeFrame[]): DistinctFrames {
  const frames: TreeFrame[] = []
  const placeOfKey = new Map<string, number>()
  const placeOf = (frame: TreeFrame): number => {
    const key = `${frame.name}\0${frame.file}\0${frame.module}\0${frame.kind}`
    let place = placeOfKey.get(key)
    if (place === undefined) {
      place = frames.push(frame) - 1
      placeOfKey.set(key, place)
    }
    return place
  }
  return { frames, index: Uint32Array.from(given, placeOf), noStack: () => placeOf(NO_STACK) }
}

function checkedCount(stacks: StackColumns, values: ArrayLike<number>): number {
  const count = Math.max(0, stacks.stackOffset.length - 1)
  if (count !== values.length) {
    throw profileError('TREE_LENGTH_MISMATCH', `${count} stacks and ${values.length} values`, {
      stacks: count,
      values: values.length,
    })
  }
  return count
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
