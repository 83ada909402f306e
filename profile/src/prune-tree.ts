import type { CallTree, TreeFrame } from './model.ts'

/** A tree in columns whose parents come before their children; siblings in any order. */
export interface TreeColumns {
  /** Nodes; the columns may be longer. */
  count: number
  /** -1 for node 0, the root. */
  frame: Int32Array
  parent: Int32Array
  self: Float64Array
  total: Float64Array
}

export interface PruneOptions {
  /** Nodes of the answer at most, those that stand for others included; 2 at least. */
  maxNodes: number
  /** Least part of the root's weight that a node needs. */
  minShare?: number
  /** Levels below the root; what lies deeper is folded into its last ancestor's child. */
  maxDepth?: number
  /** The node that becomes the root of the answer; it keeps its frame. */
  root?: number
  /** Order of frames where weight and depth leave a choice; must not depend on the order of arrival. */
  compareFrames(a: number, b: number): number
  /** How a frame is shown; asked once for each that is. */
  describeFrame(frame: number): TreeFrame
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
 * Keeps as many of the largest nodes as fit into `maxNodes`, and folds what is left out below each kept node
 * into one node of kind 'omitted', the last of its siblings, so that children still add up to their
 * parents:
 *
 *     all 22              all 22
 *       main 21             main 21
 *         a 10                a 10
 *         b 5                 4 smaller frames 11
 *         c 5               1 smaller frame 1
 *           x 3
 *           y 2
 *         d 1
 *       idle 1
 *
 * The name counts all nodes left out there; below the deepest level kept it reads 'N deeper frames'.
 * A node is as large as the largest weight in its subtree without sign, so that in a diff a parent whose
 * children cancel out does not hide them. Ties go to the higher level, then by frame. The choice does not
 * depend on the order of nodes. Siblings come by total, largest first, then by frame.
 *
 * Yields now and then, so that a caller can let others work; the value is in the last step.
 */
export function* pruneSteps(tree: TreeColumns, options: PruneOptions): Generator<undefined, PrunedTree> {
  const { count, parent, total } = tree
  const root = options.root ?? 0
  const maxDepth = options.maxDepth ?? Number.POSITIVE_INFINITY
  const maxNodes = Math.max(2, options.maxNodes)
  // -1 outside the subtree.
  const depth = new Int32Array(count).fill(-1)
  const children = new Uint32Array(count)
  let isSigned = total[root]! < 0
  let inside = 1
  depth[root] = 0
  for (let node = root + 1; node < count; node++) {
    const above = depth[parent[node]!]!
    if (above < 0) continue
    depth[node] = above + 1
    children[parent[node]!]!++
    inside++
    if (total[node]! < 0) isSigned = true
    if (node % stepNodes === 0) yield
  }
  const size = isSigned ? largestBelow(tree, depth) : total
  const least = (options.minShare ?? 0) * Math.abs(total[root]!)

  /** Negative when a is taken before b; never 0 for two nodes. */
  const compare = (a: number, b: number): number => {
    const bySize = size[b]! - size[a]! || depth[a]! - depth[b]!
    if (bySize !== 0) return bySize
    for (let left = a, right = b; left !== right; left = parent[left]!, right = parent[right]!) {
      const byFrame = options.compareFrames(tree.frame[left]!, tree.frame[right]!)
      if (byFrame !== 0) return byFrame
    }
    return a - b
  }
  const best = new BestNodes(Math.min(maxNodes - 1, inside - 1), compare)
  for (let node = root + 1; node < count; node++) {
    if (depth[node]! > 0 && depth[node]! <= maxDepth && size[node]! >= least) best.add(node)
    if (node % stepNodes === 0) yield
  }
  const candidates = best.sorted()

  // Each node that is kept stands in the answer, and each of them that lost children has one more.
  const hidden = children
  let nodes = hidden[root]! > 0 ? 2 : 1
  let fitting = 0
  for (const [place, node] of candidates.entries()) {
    nodes += hidden[node]! > 0 ? 2 : 1
    if (--hidden[parent[node]!]! === 0) nodes--
    if (nodes <= maxNodes) fitting = place + 1
  }
  yield

  // Kept nodes by their old order, so that parents still come first. Each left-out node is counted at the
  // nearest node above it that is kept; only the topmost of a left-out subtree adds its weight.
  const kept = Int32Array.from([root, ...candidates.slice(0, fitting)]).sort()
  const keptAbove = new Int32Array(count).fill(-1)
  for (const [place, node] of kept.entries()) keptAbove[node] = place
  const isKept = (node: number): boolean => kept[keptAbove[node]!] === node
  const omittedNodes = new Uint32Array(kept.length)
  const omittedWeight = new Float64Array(kept.length)
  const omitted = { nodes: inside - kept.length, weight: 0 }
  if (omitted.nodes > 0)
    for (let node = root + 1; node < count; node++) {
      if (depth[node]! < 0 || keptAbove[node]! >= 0) continue
      const above = parent[node]!
      const place = keptAbove[above]!
      keptAbove[node] = place
      omittedNodes[place]!++
      if (isKept(above)) {
        omittedWeight[place]! += total[node]!
        omitted.weight += total[node]!
      }
      if (node % stepNodes === 0) yield
    }
  const parentPlace = Int32Array.from(kept, node => (node === root ? -1 : keptAbove[parent[node]!]!))
  yield
  const isDeepest = (place: number): boolean => depth[kept[place]!] === maxDepth
  return {
    tree: layOut(tree, { kept, parentPlace, omittedNodes, omittedWeight, isDeepest }, options),
    omitted,
  }
}

const stepNodes = 65_536

/** For each node the largest weight, without sign, of it and what lies below. */
function largestBelow(tree: TreeColumns, depth: Int32Array): Float64Array {
  const size = Float64Array.from(tree.total.subarray(0, tree.count), Math.abs)
  for (let node = tree.count - 1; node > 0; node--) {
    const above = tree.parent[node]!
    if (depth[node]! > 0 && size[node]! > size[above]!) size[above] = size[node]!
  }
  return size
}

interface KeptNodes {
  /** Nodes of the old tree; the first is the root. */
  kept: Int32Array
  /** Index into kept. */
  parentPlace: Int32Array
  /** What was left out below each. */
  omittedNodes: Uint32Array
  omittedWeight: Float64Array
  isDeepest(place: number): boolean
}

/** Writes kept nodes depth first. */
function layOut(
  tree: TreeColumns,
  { kept, parentPlace, omittedNodes, omittedWeight, isDeepest }: KeptNodes,
  { compareFrames, describeFrame }: PruneOptions,
): CallTree {
  const childStart = new Uint32Array(kept.length + 2)
  for (let place = 1; place < kept.length; place++) childStart[parentPlace[place]! + 2]!++
  for (let place = 2; place < childStart.length; place++) childStart[place]! += childStart[place - 1]!
  const children = new Int32Array(kept.length)
  for (let place = 1; place < kept.length; place++) children[childStart[parentPlace[place]! + 1]!++] = place
  const bySize = (a: number, b: number): number => {
    const [left, right] = [kept[a]!, kept[b]!]
    return tree.total[right]! - tree.total[left]! || compareFrames(tree.frame[left]!, tree.frame[right]!)
  }

  const frames: TreeFrame[] = []
  const newFrame = new Map<number, number>()
  const newOmitted = new Map<string, number>()
  const frameOf = (old: number): number => {
    if (old < 0) return -1
    let place = newFrame.get(old)
    if (place === undefined) {
      place = frames.push(describeFrame(old)) - 1
      newFrame.set(old, place)
    }
    return place
  }
  const omittedFrame = (place: number): number => {
    const nodes = omittedNodes[place]!
    const name = `${nodes} ${isDeepest(place) ? 'deeper' : 'smaller'} frame${nodes === 1 ? '' : 's'}`
    let frame = newOmitted.get(name)
    if (frame === undefined) {
      frame = frames.push({ name, file: '', module: '', kind: 'omitted' }) - 1
      newOmitted.set(name, frame)
    }
    return frame
  }
  const size = kept.length + omittedNodes.reduce((sum, nodes) => sum + (nodes > 0 ? 1 : 0), 0)
  const answer: CallTree = {
    frames,
    frame: new Int32Array(size),
    parent: new Int32Array(size),
    self: new Float64Array(size),
    total: new Float64Array(size),
  }
  /** Places to write, next one last; ~place stands for what was left out below it. */
  const open = [0]
  const position = new Int32Array(kept.length)
  for (let next = 0; open.length > 0; next++) {
    const entry = open.pop()!
    if (entry < 0) {
      const place = ~entry
      answer.frame[next] = omittedFrame(place)
      answer.parent[next] = position[place]!
      answer.self[next] = omittedWeight[place]!
      answer.total[next] = omittedWeight[place]!
      continue
    }
    const node = kept[entry]!
    position[entry] = next
    answer.frame[next] = frameOf(tree.frame[node]!)
    answer.parent[next] = entry === 0 ? -1 : position[parentPlace[entry]!]!
    answer.self[next] = tree.self[node]!
    answer.total[next] = tree.total[node]!
    if (omittedNodes[entry]! > 0) open.push(~entry)
    const ordered = children.subarray(childStart[entry]!, childStart[entry + 1]!)
    if (ordered.length > 1) ordered.sort(bySize)
    for (let child = ordered.length - 1; child >= 0; child--) open.push(ordered[child]!)
  }
  return answer
}

/** The first `capacity` nodes in an order, kept as a heap whose top is the last of them. */
class BestNodes {
  readonly #heap: number[] = []
  readonly #capacity: number
  readonly #compare: (a: number, b: number) => number

  constructor(capacity: number, compare: (a: number, b: number) => number) {
    this.#capacity = capacity
    this.#compare = compare
  }

  add(node: number): void {
    const heap = this.#heap
    if (heap.length < this.#capacity) {
      let place = heap.push(node) - 1
      while (place > 0) {
        const above = (place - 1) >> 1
        if (this.#compare(heap[above]!, node) >= 0) break
        heap[place] = heap[above]!
        place = above
      }
      heap[place] = node
    } else if (this.#capacity > 0 && this.#compare(node, heap[0]!) < 0) this.#replaceTop(node)
  }

  /** Empties the heap. */
  sorted(): number[] {
    return this.#heap.sort(this.#compare)
  }

  #replaceTop(node: number): void {
    const heap = this.#heap
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && this.#compare(heap[below + 1]!, heap[below]!) > 0) below++
      if (this.#compare(heap[below]!, node) <= 0) break
      heap[place] = heap[below]!
      place = below
    }
    heap[place] = node
  }
}

/** Runs steps to their end without a pause. */
export function runSteps<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}
