import type { FrameKind, TreeFrame } from '@strobe/profile'
import type { Reader, ReadUsage } from '../storage/select/reader.ts'
import { selectFrames, selectFunctions, selectStacks } from '../storage/select/statements.ts'
import { idOfText, idText, readStackRows } from './row-binary.ts'

/** A stored frame with all that an export needs. The same frame is the same object. */
export interface StoredFrame {
  /** Shared by every frame of one function and module. */
  tree: TreeFrame
  /** '0' when the frame is not named. */
  functionId: string
  systemName: string
  startLine: number
  line: number
  /** File of the mapping, base name. */
  module: string
  buildId: string
  /** Decimal text; meaningful when the frame is not named. */
  address: string
}

export interface StackStore {
  /** Stacks in the order of ids (as row-binary.ts reads them), each leaf first. A stack that is not stored is one frame that says so. */
  resolve(
    tenant: string,
    services: string[],
    ids: string[],
    usage: ReadUsage,
    signal: AbortSignal | undefined,
  ): Promise<StoredFrame[][]>
}

// At most 21 bytes an id, so that a statement stays well under the reader's max_query_size of 1 MiB.
const idsPerStatement = 20_000
const bytesPerFrame = 400
const bytesPerStack = 150
const bytesPerStackFrame = 8

interface TenantCache {
  stacks: Map<string, StoredFrame[]>
  frames: Map<string, StoredFrame>
  trees: Map<string, TreeFrame>
  bytes: number
}

/**
 * Keeps stacks between queries. Ids are hashes of content, so an entry is never stale; tenants have
 * caches of their own, since the hash does not resist somebody who looks for a collision.
 */
export function createStackStore(reader: Reader, maxBytes: number): StackStore {
  const caches = new Map<string, TenantCache>()

  function cacheOf(tenant: string): TenantCache {
    const known = caches.get(tenant)
    if (known) return known
    const cache: TenantCache = { stacks: new Map(), frames: new Map(), trees: new Map(), bytes: 0 }
    caches.set(tenant, cache)
    return cache
  }

  async function loadFrames(
    tenant: string,
    ids: string[],
    frames: Map<string, StoredFrame>,
    trees: Map<string, TreeFrame>,
    usage: ReadUsage,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const rows: FrameRow[] = []
    for (const part of parts(ids))
      for (const row of await reader.rows<FrameRow>(selectFrames(tenant, part.map(idText)), usage, signal))
        rows.push(row)
    const functionIds = [...new Set(rows.map(row => row[1]))].filter(id => id !== '0')
    const functions = new Map<string, FunctionRow>()
    for (const part of parts(functionIds))
      for (const row of await reader.rows<FunctionRow>(selectFunctions(tenant, part), usage, signal))
        functions.set(row[0], row)
    for (const row of rows) frames.set(idOfText(row[0]), buildFrame(row, functions.get(row[1]), trees))
  }

  return {
    async resolve(tenant, services, ids, usage, signal) {
      const cache = cacheOf(tenant)
      const found = new Map<string, StoredFrame[]>()
      const missing: string[] = []
      for (const id of ids) {
        const frames = cache.stacks.get(id)
        if (!frames) missing.push(id)
        else {
          cache.stacks.delete(id)
          cache.stacks.set(id, frames)
          found.set(id, frames)
        }
      }
      if (missing.length > 0) {
        const rows: [id: string, frameIds: string[]][] = []
        for (const part of parts(missing))
          for (const row of readStackRows(
            await reader.bytes(selectStacks(tenant, services, part.map(idText)), usage, signal),
          ))
            rows.push(row)
        const unknown = new Set<string>()
        for (const [, frameIds] of rows) for (const id of frameIds) if (!cache.frames.has(id)) unknown.add(id)
        // The maps of this query stay whole even if the cache is emptied below while another query waits.
        const frames = cache.frames
        await loadFrames(tenant, [...unknown], frames, cache.trees, usage, signal)
        cache.bytes += unknown.size * bytesPerFrame
        for (const [id, frameIds] of rows) {
          const stack = frameIds.map(frameId => frames.get(frameId) ?? lostFrame)
          found.set(id, stack)
          if (!cache.stacks.has(id)) cache.bytes += bytesPerStack + stack.length * bytesPerStackFrame
          cache.stacks.set(id, stack)
        }
        evict(cache, maxBytes)
      }
      return ids.map(id => found.get(id) ?? [lostFrame])
    },
  }
}

type FrameRow = [
  id: string,
  functionId: string,
  line: number,
  module: string,
  buildId: string,
  address: string,
  kind: string,
]
type FunctionRow = [
  id: string,
  name: string,
  systemName: string,
  file: string,
  startLine: number,
  module: string,
]

const lostFrame: StoredFrame = {
  tree: { name: '[stack not stored]', file: '', module: '', kind: 'none' },
  functionId: '0',
  systemName: '',
  startLine: 0,
  line: 0,
  module: '',
  buildId: '',
  address: '0',
}

const kinds = new Set<string>(['native', 'kernel', 'jit', 'interpreted', 'unsymbolized', 'none'])

function buildFrame(
  [, functionId, line, module, buildId, address, kind]: FrameRow,
  info: FunctionRow | undefined,
  trees: Map<string, TreeFrame>,
): StoredFrame {
  const name = info?.[1] || info?.[2] || ''
  const tree: TreeFrame =
    info && name !== ''
      ? {
          name,
          file: info[3],
          module: info[5] || module,
          kind: kinds.has(kind) ? (kind as FrameKind) : 'native',
        }
      : {
          name: `${module || '[unknown]'}+0x${BigInt(address).toString(16)}`,
          file: '',
          module,
          kind: 'unsymbolized',
        }
  const key = `${tree.name}\0${tree.file}\0${tree.module}\0${tree.kind}`
  const shared = trees.get(key) ?? tree
  trees.set(key, shared)
  return {
    tree: shared,
    functionId: tree.kind === 'unsymbolized' ? '0' : functionId,
    systemName: info?.[2] ?? '',
    startLine: info?.[4] ?? 0,
    line,
    module: tree.module,
    buildId,
    address,
  }
}

function* parts(ids: string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += idsPerStatement)
    yield ids.slice(start, start + idsPerStatement)
}

/** Least recently used stacks go first; frames are shared by stacks, so they go all at once, when they alone are over half. */
function evict(cache: TenantCache, maxBytes: number): void {
  if (cache.bytes <= maxBytes) return
  if (cache.frames.size * bytesPerFrame > maxBytes / 2) {
    cache.frames = new Map()
    cache.trees = new Map()
    cache.stacks = new Map()
    cache.bytes = 0
    return
  }
  for (const [id, stack] of cache.stacks) {
    if (cache.bytes <= maxBytes) break
    cache.stacks.delete(id)
    cache.bytes -= bytesPerStack + stack.length * bytesPerStackFrame
  }
}
