import { profileError } from './errors.ts'
import type { CallTree, FunctionTotal, TreeFrame } from './model.ts'

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
    let node = 0
    draft.total[0]! += value
    if (first === last) node = draft.add(0, distinct.noStack(), value)
    for (let at = last - 1; at >= first; at--) {
      node = draft.add(node, distinct.index[stacks.stackFrame[at]!]!, value)
    }
    draft.self[node]! += value
  }
  return draft.finish(distinct.frames)
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
  return list.sort(
    (a, b) =>
      b.self - a.self ||
      b.total - a.total ||
      compareText(a.frame.name, b.frame.name) ||
      compareText(a.frame.module, b.frame.module),
  )
}

export interface PrunedTree {
  tree: CallTree
  omitted: {
    /** Nodes left out. */
    nodes: number
    /** What the left-out nodes weigh, each subtree once. */
    weight: number
  }
}

/**
 * Keeps the `maxNodes` largest nodes that weigh at least `minShare` of the root, and folds what is left
 * out below each kept node into one node 'N smaller frames' of kind 'omitted', the last of its siblings,
 * so that children still add up to their parents. N counts all nodes left out there. The answer has at
 * most 2 x maxNodes nodes. Weights are compared without their sign.
 */
export function pruneCallTree(tree: CallTree, maxNodes: number, minShare = 0): PrunedTree {
  const count = tree.parent.length
  const weight = (node: number): number => Math.abs(tree.total[node]!)
  const least = minShare * weight(0)
  // Depth-first order breaks ties: a parent comes before a child of the same weight.
  const order = Array.from({ length: count }, (_, node) => node).sort(
    (a, b) => weight(b) - weight(a) || a - b,
  )
  const isKept = new Uint8Array(count)
  isKept[0] = 1
  let kept = 1
  for (const node of order) {
    if (kept >= maxNodes) break
    if (node === 0 || weight(node) < least || isKept[tree.parent[node]!] === 0) continue
    isKept[node] = 1
    kept++
  }
  // Each left-out node is counted at the nearest node above it that is kept; only the topmost of a
  // left-out subtree adds its weight.
  const keptAbove = new Int32Array(count)
  const omittedNodes = new Uint32Array(count)
  const omittedWeight = new Float64Array(count)
  const omitted = { nodes: count - kept, weight: 0 }
  for (let node = 1; node < count; node++) {
    const parent = tree.parent[node]!
    keptAbove[node] = isKept[node] === 1 ? node : keptAbove[parent]!
    if (isKept[node] === 1) continue
    omittedNodes[keptAbove[node]!]!++
    if (isKept[parent] === 1) {
      omittedWeight[parent]! += tree.total[node]!
      omitted.weight += tree.total[node]!
    }
  }
  if (omitted.nodes === 0) return { tree, omitted }

  const frames: TreeFrame[] = []
  const newFrame = new Map<number, number>()
  const newOmitted = new Map<number, number>()
  const out = { frame: [] as number[], parent: [] as number[], self: [] as number[], total: [] as number[] }
  const push = (frame: number, parent: number, self: number, total: number): number => {
    out.frame.push(frame)
    out.parent.push(parent)
    out.self.push(self)
    return out.total.push(total) - 1
  }
  /** Kept nodes whose subtree is still open, deepest last, with their new positions. */
  const open: { node: number; position: number }[] = []
  const close = (): void => {
    const { node, position } = open.pop()!
    const hidden = omittedNodes[node]!
    if (hidden === 0) return
    let frame = newOmitted.get(hidden)
    if (frame === undefined) {
      const name = hidden === 1 ? '1 smaller frame' : `${hidden} smaller frames`
      frame = frames.push({ name, file: '', module: '', kind: 'omitted' }) - 1
      newOmitted.set(hidden, frame)
    }
    push(frame, position, omittedWeight[node]!, omittedWeight[node]!)
  }
  for (let node = 0; node < count; node++) {
    if (isKept[node] === 0) continue
    while (open.length > 0 && open.at(-1)!.node !== tree.parent[node]) close()
    const old = tree.frame[node]!
    let frame = old < 0 ? -1 : newFrame.get(old)
    if (frame === undefined) {
      frame = frames.push(tree.frames[old]!) - 1
      newFrame.set(old, frame)
    }
    open.push({
      node,
      position: push(frame, open.at(-1)?.position ?? -1, tree.self[node]!, tree.total[node]!),
    })
  }
  while (open.length > 0) close()
  return {
    tree: {
      frames,
      frame: Int32Array.from(out.frame),
      parent: Int32Array.from(out.parent),
      self: Float64Array.from(out.self),
      total: Float64Array.from(out.total),
    },
    omitted,
  }
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

/** A tree that grows: nodes in order of arrival, found by (parent, frame). Node 0 is the root. */
class TreeDraft {
  self = new Float64Array(256)
  total = new Float64Array(256)
  #frame = new Int32Array(256)
  #parent = new Int32Array(256)
  #slots = new Int32Array(1024).fill(-1)
  #count = 1

  constructor() {
    this.#frame[0] = -1
    this.#parent[0] = -1
  }

  /** The child of `parent` for `frame`, made when new, with `value` added to its total. */
  add(parent: number, frame: number, value: number): number {
    let slot = this.#slotOf(parent, frame)
    let node = this.#slots[slot]!
    if (node < 0) {
      if (this.#count === this.#frame.length) {
        this.#grow()
        slot = this.#slotOf(parent, frame)
      }
      node = this.#count++
      this.#slots[slot] = node
      this.#frame[node] = frame
      this.#parent[node] = parent
    }
    this.total[node]! += value
    return node
  }

  finish(frames: TreeFrame[]): CallTree {
    const count = this.#count
    const children: number[][] = Array.from({ length: count }, () => [])
    for (let node = 1; node < count; node++) children[this.#parent[node]!]!.push(node)
    const bySize = (a: number, b: number): number => {
      const difference = this.total[b]! - this.total[a]!
      if (difference !== 0) return difference
      const left = frames[this.#frame[a]!]!
      const right = frames[this.#frame[b]!]!
      return (
        compareText(left.name, right.name) ||
        compareText(left.module, right.module) ||
        compareText(left.file, right.file)
      )
    }
    const tree: CallTree = {
      frames,
      frame: new Int32Array(count),
      parent: new Int32Array(count),
      self: new Float64Array(count),
      total: new Float64Array(count),
    }
    const position = new Int32Array(count)
    const open = [0]
    for (let next = 0; open.length > 0; next++) {
      const node = open.pop()!
      position[node] = next
      tree.frame[next] = this.#frame[node]!
      tree.parent[next] = node === 0 ? -1 : position[this.#parent[node]!]!
      tree.self[next] = this.self[node]!
      tree.total[next] = this.total[node]!
      const sorted = children[node]!.sort(bySize)
      for (let i = sorted.length - 1; i >= 0; i--) open.push(sorted[i]!)
    }
    return tree
  }

  /** The slot that holds the node, or the empty one where it belongs. */
  #slotOf(parent: number, frame: number): number {
    const mask = this.#slots.length - 1
    const hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame + 1, 0x85ebca6b)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const node = this.#slots[slot]!
      if (node < 0 || (this.#parent[node] === parent && this.#frame[node] === frame)) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const size = 2 * this.#frame.length
    const resized = <T extends Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from)
      return to
    }
    this.#frame = resized(this.#frame, new Int32Array(size))
    this.#parent = resized(this.#parent, new Int32Array(size))
    this.self = resized(this.self, new Float64Array(size))
    this.total = resized(this.total, new Float64Array(size))
    this.#slots = new Int32Array(4 * size).fill(-1)
    for (let node = 1; node < this.#count; node++) {
      this.#slots[this.#slotOf(this.#parent[node]!, this.#frame[node]!)] = node
    }
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
