import { extendPath, hashFrame, parsePath, type TreeDraft } from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import type { FrameKeys } from './frame-keys.ts'

const stepNodes = 65_536

/**
 * The node that `at` names: a JSON array of frame names from the root down, or a path hash. Of several nodes
 * (two modules have functions of one name) the largest.
 * Throws BAD_REQUEST when `at` is neither, NOT_FOUND when nothing lies there.
 */
export function findNode(draft: TreeDraft, keys: FrameKeys, at: string): Generator<undefined, number> {
  if (at.startsWith('[')) return findByNames(draft, keys, readNames(at))
  const hash = parsePath(at)
  if (hash === null) throw notAPath(at)
  return findByHash(draft, keys, hash)
}

function readNames(at: string): string[] {
  try {
    const names: unknown = JSON.parse(at)
    if (Array.isArray(names) && names.every(name => typeof name === 'string')) return names
  } catch {
    // Said below.
  }
  throw notAPath(at)
}

function notAPath(at: string): CodedError {
  return new CodedError(
    'BAD_REQUEST',
    `at is neither a JSON array of frame names nor a path hash: ${at.slice(0, 200)}`,
  )
}

function* findByNames(draft: TreeDraft, keys: FrameKeys, names: string[]): Generator<undefined, number> {
  /** Names of the path that lead to the node; -1: the node is off the path. */
  const matched = new Int32Array(draft.count).fill(-1)
  matched[0] = 0
  let best = names.length === 0 ? 0 : -1
  let deepest = 0
  for (let node = 1; node < draft.count; node++) {
    const above = matched[draft.parent[node]!]!
    if (above >= 0 && keys.frames[draft.frame[node]!]!.name === names[above]) {
      matched[node] = above + 1
      deepest = Math.max(deepest, above + 1)
      if (above + 1 === names.length && (best < 0 || draft.total[node]! > draft.total[best]!)) best = node
    }
    if (node % stepNodes === 0) yield
  }
  if (best < 0)
    throw new CodedError(
      'NOT_FOUND',
      `no frame "${names[deepest]?.slice(0, 200)}" stands at depth ${deepest + 1} of this selection`,
      { depth: deepest + 1 },
    )
  return best
}

function* findByHash(draft: TreeDraft, keys: FrameKeys, wanted: number): Generator<undefined, number> {
  const frameHash = keys.frames.map(hashFrame)
  const path = new Float64Array(draft.count)
  let best = wanted === 0 ? 0 : -1
  for (let node = 1; node < draft.count; node++) {
    const hash = extendPath(path[draft.parent[node]!]!, frameHash[draft.frame[node]!]!)
    path[node] = hash
    if (hash === wanted && (best < 0 || draft.total[node]! > draft.total[best]!)) best = node
    if (node % stepNodes === 0) yield
  }
  if (best < 0)
    throw new CodedError('NOT_FOUND', 'the frame that `at` names is not in this selection any more')
  return best
}
