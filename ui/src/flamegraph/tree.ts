import { extendPath, formatPath, hashFrame, parsePath } from '@strobe/profile'
import type { FlamegraphAnswer, FrameKind } from '../api/types.ts'

export interface Frame {
  name: string
  file: string
  module: string
  kind: FrameKind
}

/**
 * The answered call tree with what drawing needs. Depth first: the descendants of a node are the nodes
 * between it and end[node]; node 0 is the root.
 */
export interface FlameTree {
  unit: string
  total: number
  frames: Frame[]
  /** Node to index into frames. */
  frame: Int32Array
  parent: Int32Array
  depth: Int32Array
  /** One past the last descendant. */
  end: Int32Array
  self: Float64Array
  totals: Float64Array
  /** Two sides in one tree: how their difference is shown; absent in a tree of one side. */
  difference?: Difference
}

/** Per node: what colour, words and mark say about the change. */
export interface Difference {
  fill(node: number): string
  /** For tooltip and speech. */
  facts(node: number): string
  /** '' unless one side has nothing there. */
  mark(node: number): '' | 'new' | 'gone'
}

/** What d3-flame-graph gets: its own copy, since it writes `hide` and `fade` into it. */
export interface DrawNode {
  /** Label. */
  n: string
  /** Weight, children included. */
  v: number
  /** Index into frames, -1 for a fold. */
  frameIndex: number
  /** Node of the FlameTree; for a fold the node under which frames were folded. */
  node: number
  /** Frames folded into this one because they lie too deep; 0 otherwise. */
  folded: number
  c: DrawNode[]
  hide: boolean
  fade: boolean
}

/** Levels drawn at once: taller graphs slow every zoom down and overflow d3-flame-graph's recursion. */
export const maxDrawnDepth = 400

type TreeAnswer = Pick<FlamegraphAnswer, 'unit' | 'total' | 'names' | 'files' | 'modules' | 'kinds' | 'nodes'>

/** Throws TREE_MALFORMED when the answer is not a depth-first tree. */
export function readTree(answer: TreeAnswer): FlameTree {
  const { name, parent, self, total } = answer.nodes
  const count = name.length
  if (parent.length !== count || self.length !== count || total.length !== count || count === 0) {
    throw new Error(`TREE_MALFORMED: columns of ${count}, ${parent.length}, ${self.length}, ${total.length}`)
  }
  const depth = new Int32Array(count)
  const end = new Int32Array(count)
  for (let node = 1; node < count; node++) {
    const above = parent[node] ?? -1
    if (above < 0 || above >= node) {
      throw new Error(`TREE_MALFORMED: node ${node} stands before its parent ${above}`)
    }
    depth[node] = (depth[above] ?? 0) + 1
  }
  for (let node = count - 1; node >= 0; node--) {
    end[node] = Math.max(end[node] ?? 0, node + 1)
    const above = parent[node] ?? -1
    if (above >= 0) end[above] = Math.max(end[above] ?? 0, end[node] ?? 0)
  }
  return {
    unit: answer.unit,
    total: answer.total,
    frames: answer.names.map((frameName, index) => ({
      name: frameName,
      file: answer.files[index] ?? '',
      module: answer.modules[index] ?? '',
      kind: answer.kinds[index] ?? 'none',
    })),
    frame: Int32Array.from(name),
    parent: Int32Array.from(parent),
    depth,
    end,
    self: Float64Array.from(self),
    totals: Float64Array.from(total),
  }
}

export function frameOf(tree: FlameTree, node: number): Frame {
  return tree.frames[tree.frame[node] ?? -1] ?? { name: '', file: '', module: '', kind: 'none' }
}

/** Nodes from the root to the node, both included. */
export function pathTo(tree: FlameTree, node: number): number[] {
  const path: number[] = []
  for (let at = node; at >= 0; at = tree.parent[at] ?? -1) path.push(at)
  return path.reverse()
}

/** A short name of the path to a node that stays the same in the next answer; '' for the root. */
export function pathHash(tree: FlameTree, node: number): string {
  let hash = 0
  for (const step of pathTo(tree, node).slice(1)) hash = extendPath(hash, hashFrame(frameOf(tree, step)))
  return formatPath(hash)
}

/** The node with this path hash; 0 for '', -1 when this tree does not have it. */
export function findPath(tree: FlameTree, text: string): number {
  const wanted = parsePath(text)
  if (wanted === null || wanted === 0) return wanted ?? -1
  const frames = tree.frames.map(hashFrame)
  const hashes = [0]
  for (let node = 1; node < tree.frame.length; node++) {
    const own = extendPath(hashes[tree.parent[node] ?? 0] ?? 0, frames[tree.frame[node] ?? 0] ?? 0)
    if (own === wanted) return node
    hashes[node] = own
  }
  return -1
}

/** Where the drawing starts: the root, or the zoomed node once it lies too deep to draw from the root. */
export function drawBase(tree: FlameTree, zoom: number): number {
  return (tree.depth[zoom] ?? 0) < maxDrawnDepth ? 0 : zoom
}

/** Names of Go, Java and paths without their directories: net/http.(*conn).serve is http.(*conn).serve. */
export function shortName(name: string): string {
  const bracket = name.search(/[([<]/)
  const head = bracket < 0 ? name : name.slice(0, bracket)
  const slash = head.lastIndexOf('/')
  return slash < 0 || head.includes(' ') || slash === head.length - 1 ? name : name.slice(slash + 1)
}

function markSign(tree: FlameTree, node: number): string {
  const mark = tree.difference?.mark(node) ?? ''
  return mark === 'new' ? '+ ' : mark === 'gone' ? '− ' : ''
}

/** Copies the tree below base for drawing, zoomed in on a node, at most maxDrawnDepth levels deep. */
export function buildDrawTree(tree: FlameTree, base: number, zoom: number): DrawNode {
  const end = tree.end[base] ?? 0
  const baseDepth = tree.depth[base] ?? 0
  const drawn = new Map<number, DrawNode>()
  let root: DrawNode | undefined
  for (let node = base; node < end; node++) {
    const level = (tree.depth[node] ?? 0) - baseDepth
    const above = drawn.get(tree.parent[node] ?? -1)
    if (level > maxDrawnDepth) {
      // Every child of the last level lands in one fold, so that parents still hold their children.
      if (level === maxDrawnDepth + 1 && above) {
        let fold = above.c[0]
        if (!fold) {
          fold = { n: '', v: 0, frameIndex: -1, node: above.node, folded: 0, c: [], hide: false, fade: false }
          above.c.push(fold)
        }
        fold.v += tree.totals[node] ?? 0
        fold.folded += (tree.end[node] ?? 0) - node
        fold.n = `${fold.folded} deeper, open here`
      }
      continue
    }
    const copy: DrawNode = {
      n: markSign(tree, node) + shortName(frameOf(tree, node).name),
      v: tree.totals[node] ?? 0,
      frameIndex: tree.frame[node] ?? -1,
      node,
      folded: 0,
      c: [],
      hide: false,
      fade: false,
    }
    drawn.set(node, copy)
    if (above) above.c.push(copy)
    else root = copy
  }
  if (!root) throw new Error(`TREE_MALFORMED: no node ${base}`)
  // The marks that a click on the node would leave, set beforehand: one drawing instead of two.
  for (let at = zoom; at > base && at !== base; at = tree.parent[at] ?? base) {
    const above = drawn.get(tree.parent[at] ?? -1)
    if (!above) break
    above.fade = true
    for (const sibling of above.c) if (sibling.node !== at) sibling.hide = true
  }
  return root
}

/** Levels, counted from base, that show a frame wider than minWidthPx when zoomed in on a node. */
export function drawnLevels(
  tree: FlameTree,
  base: number,
  zoom: number,
  widthPx: number,
  minWidthPx: number,
): number {
  const least = ((tree.totals[zoom] ?? 0) * minWidthPx) / Math.max(widthPx, 1)
  const baseDepth = tree.depth[base] ?? 0
  let deepest = tree.depth[zoom] ?? 0
  for (let node = zoom; node < (tree.end[zoom] ?? 0); node++) {
    if ((tree.totals[node] ?? 0) > least) deepest = Math.max(deepest, tree.depth[node] ?? 0)
  }
  return Math.min(deepest - baseDepth, maxDrawnDepth + 1) + 1
}

/** Is the frame on the screen when zoomed in on a node? */
export function isDrawn(tree: FlameTree, zoom: number, node: number, widthPx: number): boolean {
  if (node <= zoom && (tree.end[node] ?? 0) >= (tree.end[zoom] ?? 0)) return true
  if (node < zoom || node >= (tree.end[zoom] ?? 0)) return false
  return ((tree.totals[node] ?? 0) / (tree.totals[zoom] || 1)) * widthPx > 0.5
}

/** The neighbour in a direction among the frames that `drawn` accepts; the node itself when there is none. */
export function neighbour(
  tree: FlameTree,
  node: number,
  direction: 'caller' | 'callee' | 'left' | 'right',
  drawn: (node: number) => boolean,
): number {
  if (direction === 'caller') return Math.max(tree.parent[node] ?? 0, 0)
  const depth = tree.depth[node] ?? 0
  if (direction === 'callee') {
    for (let child = node + 1; child < (tree.end[node] ?? 0); child = tree.end[child] ?? child + 1) {
      if (drawn(child)) return child
    }
    return node
  }
  const step = direction === 'left' ? -1 : 1
  for (let at = node + step; at >= 0 && at < tree.frame.length; at += step) {
    if (tree.depth[at] === depth && drawn(at)) return at
  }
  return node
}
