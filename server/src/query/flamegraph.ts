import {
  buildCallTree,
  type CallTree,
  type FrameKind,
  type PrunedTree,
  parseProfileTypeId,
  pruneCallTree,
} from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, type Meta, readMeta } from './coverage.ts'
import { isGauge } from './profile-types.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import { readStacks } from './stacks.ts'

export interface FlamegraphAnswer {
  unit: string
  total: number
  /** Frames in four columns; nodes.name points into them. */
  names: string[]
  files: string[]
  modules: string[]
  kinds: FrameKind[]
  /** Depth first, siblings by total, largest first; node 0 is the root and its parent is -1. */
  nodes: { name: number[]; parent: number[]; self: number[]; total: number[] }
  omitted: { nodes: number; weight: number }
  meta: Meta
}

/**
 * The call tree of a selection with at most `nodes` nodes; smaller ones are folded into one per parent.
 * at: JSON array of frame names from the root down, '' for the whole tree; the answer is the tree below.
 * Throws BAD_REQUEST when `at` is not such a path, NOT_FOUND when nothing lies there.
 */
export async function queryFlamegraph(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & { nodes: number; at: string },
  signal: AbortSignal | undefined,
): Promise<FlamegraphAnswer> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const path = readPath(input.at)
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const type = parseProfileTypeId(scope.type)
  const [stacks, meta] = await Promise.all([
    readStacks(context, scope, isGauge(type), usage, signal),
    readMeta(context, scope, usage, signal),
  ])
  const whole = buildCallTree(stacks.columns, stacks.values, stacks.trees)
  const pruned = pruneTo(subtree(whole, path), input.nodes)
  return {
    unit: type.sampleUnit,
    total: pruned.tree.total[0] ?? 0,
    ...treeColumns(pruned.tree),
    omitted: pruned.omitted,
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}

/**
 * Folding adds a node for each parent that lost children, at most as many as are kept and in real trees about
 * half; each attempt sorts the whole tree, so there are two.
 */
function pruneTo(tree: CallTree, nodes: number): PrunedTree {
  if (tree.parent.length <= nodes) return pruneCallTree(tree, nodes)
  const pruned = pruneCallTree(tree, Math.max(1, Math.floor(nodes * 0.6)))
  return pruned.tree.parent.length <= nodes ? pruned : pruneCallTree(tree, Math.max(1, Math.floor(nodes / 2)))
}

/** The frames' columns and the nodes' columns of an answer; the root has a frame of its own, 'all'. */
export function treeColumns(
  tree: CallTree,
): Pick<FlamegraphAnswer, 'names' | 'files' | 'modules' | 'kinds' | 'nodes'> {
  const frames = [{ name: 'all', file: '', module: '', kind: 'none' as FrameKind }]
  const placeOf = new Map<number, number>([[-1, 0]])
  const name = Array.from(tree.frame, frameIndex => {
    let place = placeOf.get(frameIndex)
    if (place === undefined) {
      place = frames.push(tree.frames[frameIndex]!) - 1
      placeOf.set(frameIndex, place)
    }
    return place
  })
  return {
    names: frames.map(frame => frame.name),
    files: frames.map(frame => frame.file),
    modules: frames.map(frame => frame.module),
    kinds: frames.map(frame => frame.kind),
    nodes: {
      name,
      parent: Array.from(tree.parent),
      self: Array.from(tree.self),
      total: Array.from(tree.total),
    },
  }
}

function readPath(at: string): string[] {
  if (at === '') return []
  try {
    const path: unknown = JSON.parse(at)
    if (Array.isArray(path) && path.every(part => typeof part === 'string')) return path
  } catch {
    // Said below.
  }
  throw new CodedError('BAD_REQUEST', `at is not a JSON array of frame names: ${at.slice(0, 200)}`)
}

/** The part of a tree below a path of names; that node becomes the root. */
function subtree(tree: CallTree, path: string[]): CallTree {
  let root = 0
  for (const [depth, name] of path.entries()) {
    const next = tree.parent.findIndex(
      (parent, node) => parent === root && tree.frames[tree.frame[node]!]?.name === name,
    )
    if (next < 0)
      throw new CodedError(
        'NOT_FOUND',
        `no frame "${name.slice(0, 200)}" stands at depth ${depth + 1} of this selection`,
      )
    root = next
  }
  if (root === 0) return tree
  // Depth first: a subtree is a run of nodes whose parents lie inside it.
  let end = root + 1
  while (end < tree.parent.length && tree.parent[end]! >= root) end++
  return {
    frames: tree.frames,
    frame: tree.frame.slice(root, end),
    parent: tree.parent.slice(root, end).map((parent, node) => (node === 0 ? -1 : parent - root)),
    self: tree.self.slice(root, end),
    total: tree.total.slice(root, end),
  }
}
