import { buildCallTree, NO_STACK, pruneCallTree, type StackColumns } from '../call-tree.ts'
import type { CallTree, TreeFrame } from '../model.ts'

export interface WeighedColumns extends StackColumns {
  /** One per stack. */
  values: ArrayLike<number>
  frames: readonly TreeFrame[]
}

/** A call tree whose widths are the means of both sides, with what each side weighs at every node. */
export interface DiffTree {
  tree: CallTree
  selfA: Float64Array
  selfB: Float64Array
  totalA: Float64Array
  totalB: Float64Array
  omitted: { nodes: number; weight: number }
}

/**
 * Both sides in one tree. Means, unlike maxima, keep parents as wide as their children, and leave room for
 * what is new and for what is gone.
 *
 * scaleA, scaleB: factors that make the sides comparable (1 / total for shares, 1 / seconds for rates).
 * maxNodes: how many nodes are kept, the widest; what is left out stands in 'omitted' nodes, for each side too.
 */
export function buildDiffTree(
  a: WeighedColumns,
  b: WeighedColumns,
  scaleA: number,
  scaleB: number,
  maxNodes: number,
): DiffTree {
  const all = concatenate(a, b)
  const values = new Float64Array(all.values.length)
  for (let stack = 0; stack < values.length; stack++)
    values[stack] = (all.values[stack]! * (stack < a.values.length ? scaleA : scaleB)) / 2
  const { tree, omitted } = pruneCallTree(buildCallTree(all, values, all.frames), maxNodes)
  const children = indexChildren(tree)
  const sideA = weigh(tree, children, a, scaleA)
  const sideB = weigh(tree, children, b, scaleB)
  return { tree, selfA: sideA.self, totalA: sideA.total, selfB: sideB.self, totalB: sideB.total, omitted }
}

function concatenate(a: WeighedColumns, b: WeighedColumns): WeighedColumns {
  const framesOfA = a.frames.length
  const stackOffset = Array.from(a.stackOffset)
  const lastOfA = stackOffset.at(-1) ?? 0
  for (let stack = 1; stack < b.stackOffset.length; stack++) stackOffset.push(b.stackOffset[stack]! + lastOfA)
  const stackFrame = new Uint32Array(lastOfA + (b.stackOffset[b.stackOffset.length - 1] ?? 0))
  for (let at = 0; at < lastOfA; at++) stackFrame[at] = a.stackFrame[at]!
  for (let at = lastOfA; at < stackFrame.length; at++)
    stackFrame[at] = b.stackFrame[at - lastOfA]! + framesOfA
  const values = new Float64Array(a.values.length + b.values.length)
  for (let stack = 0; stack < a.values.length; stack++) values[stack] = a.values[stack]!
  for (let stack = 0; stack < b.values.length; stack++) values[a.values.length + stack] = b.values[stack]!
  return { stackOffset, stackFrame, values, frames: [...a.frames, ...b.frames] }
}

/** Frames of one key are one function. */
export function keyOf(frame: TreeFrame): string {
  return `${frame.name}\0${frame.file}\0${frame.module}\0${frame.kind}`
}

interface ChildIndex {
  /** Frame key -> place in tree.frames. */
  frames: Map<string, number>
  /** Per node: place of the frame -> child. */
  children: Map<number, number>[]
  /** Per node: its omitted child, -1 without. */
  omitted: Int32Array
}

function indexChildren(tree: CallTree): ChildIndex {
  const frames = new Map(tree.frames.map((frame, place) => [keyOf(frame), place]))
  const children = Array.from(tree.parent, () => new Map<number, number>())
  const omitted = new Int32Array(tree.parent.length).fill(-1)
  for (let node = 1; node < tree.parent.length; node++) {
    const parent = tree.parent[node]!
    const place = tree.frame[node]!
    if (tree.frames[place]!.kind === 'omitted') omitted[parent] = node
    else children[parent]!.set(place, node)
  }
  return { frames, children, omitted }
}

function weigh(
  tree: CallTree,
  index: ChildIndex,
  side: WeighedColumns,
  scale: number,
): { self: Float64Array; total: Float64Array } {
  const self = new Float64Array(tree.parent.length)
  const total = new Float64Array(tree.parent.length)
  const places = side.frames.map(frame => index.frames.get(keyOf(frame)) ?? -1)
  const noStack = index.frames.get(keyOf(NO_STACK)) ?? -1
  for (let stack = 0; stack < side.values.length; stack++) {
    const value = side.values[stack]! * scale
    const first = side.stackOffset[stack]!
    const depth = side.stackOffset[stack + 1]! - first
    let node = 0
    total[0]! += value
    // An empty stack has one step of its own.
    for (let step = Math.max(1, depth) - 1; step >= 0; step--) {
      const place = depth === 0 ? noStack : places[side.stackFrame[first + step]!]!
      const next = index.children[node]!.get(place) ?? index.omitted[node]!
      if (next < 0) break
      node = next
      total[node]! += value
    }
    self[node]! += value
  }
  return { self, total }
}

export interface Cause {
  /** Frames from the root's child down to the one that explains the change. */
  path: TreeFrame[]
  /** Growth of its total, in the tree's unit. */
  change: number
}

// A child that holds less of its parent's change leaves the rest unexplained.
const explains = 0.8

/**
 * The deepest frame that still holds most of the tree's change, found by following from the root the child
 * with the largest one. null when already the root's children share the change.
 */
export function findCause({ tree, totalA, totalB }: DiffTree): Cause | null {
  const changeOf = (node: number): number => totalB[node]! - totalA[node]!
  const direction = Math.sign(changeOf(0))
  const path: TreeFrame[] = []
  let at = 0
  for (;;) {
    let best = -1
    for (let node = at + 1; node < tree.parent.length && tree.parent[node]! >= at; node++) {
      if (tree.parent[node] !== at || tree.frames[tree.frame[node]!]!.kind === 'omitted') continue
      if (best < 0 || direction * (changeOf(node) - changeOf(best)) > 0) best = node
    }
    if (best < 0 || direction * changeOf(best) < explains * direction * changeOf(at)) break
    at = best
    path.push(tree.frames[tree.frame[at]!]!)
  }
  return path.length > 0 && direction !== 0 ? { path, change: changeOf(at) } : null
}

/**
 * Whether a node's change is less than what would have been found, and so is to be shown as none.
 *
 * noise: see ProfileComparison. Of a share s the noise goes with the square root of s (1 - s).
 */
export function isWithinNoise(a: number, b: number, whole: number, noise: number): boolean {
  const share = whole > 0 ? Math.min(1, Math.max(0, (a + b) / 2 / whole)) : 0
  return Math.abs(b - a) <= noise * Math.sqrt(share * (1 - share)) * whole
}

/**
 * The change, at a node, that takes the full colour: that of 99 of 100 nodes, so that one does not pale the
 * others. totalA, totalB: one per node, the root first. Never 0.
 */
export function changeScale(totalA: ArrayLike<number>, totalB: ArrayLike<number>): number {
  const changes = Float64Array.from({ length: Math.max(0, totalA.length - 1) }, (_, node) =>
    Math.abs(totalB[node + 1]! - totalA[node + 1]!),
  ).sort()
  return changes[Math.floor(changes.length * 0.99)] || changes.at(-1) || 1
}
