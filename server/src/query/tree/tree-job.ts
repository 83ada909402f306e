import { NO_STACK, pruneSteps, StrobeError } from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import { compileRegex } from '../regex.ts'
import { exactTotals } from './exact-totals.ts'
import { formatStacks, formatTree } from './export-file.ts'
import { findNode } from './find-node.ts'
import { FrameKeys, hidden } from './frame-keys.ts'
import type { Generation } from './generation.ts'
import type { Pace } from './pace.ts'
import type { ListedStacks, TreeAnswer, TreeRequest } from './protocol.ts'
import { FunctionSink, ListSink, type StackSink, TreeSink } from './sinks.ts'
import type { StackCache } from './stack-cache.ts'
import { idsPerLoad, type Load, loadFrames, loadStacks, notStored } from './stack-loader.ts'
import { readExactSums, readFunctionSums, readStackSums, type StackSums } from './store-rows.ts'

export interface JobTools {
  cache: StackCache
  load: Load
  pace: Pace
  /** Runs one work at a time, in order: loads must not overlap. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
  /** Resolves when no other job has a large tree, and until this one is over none will go on to have one. */
  becomeLarge(): Promise<void>
}

// A million nodes are 55 MB: from there on trees are built one at a time.
const largeNodes = 1_000_000
const hiddenFrame = { name: '[hidden]', file: '', module: '', kind: 'none' } as const
// What one answer of the store should hold at most: a batch is in memory as a whole.
const batchBytes = 8 * 2 ** 20

/**
 * Puts the sums of a selection together: every stack is walked once, from the cache when it is there, else in
 * batches from the store.
 *
 * Throws QUERY_CANCELLED, QUERY_TOO_SLOW, QUERY_TOO_LARGE, BAD_REGEX, BAD_REQUEST and NOT_FOUND for `at`, and
 * what load throws.
 */
export async function runTreeJob(
  request: TreeRequest,
  sumBytes: Uint8Array,
  tools: JobTools,
): Promise<TreeAnswer> {
  const { work, limits, group } = request
  // A tree tells functions apart; the other files keep what the store knows of each frame.
  const isFrames = work.kind === 'file' && work.format !== 'json'
  const label = typeof group === 'object' ? group.label : null
  const sums = readStackSums(sumBytes, label !== null)
  const keys = new FrameKeys(typeof group === 'object' ? (isFrames ? 'frame' : 'function') : group, {
    focus: compileRegex('focus', request.focus),
    hide: compileRegex('hide', request.hide),
  })
  const rootKeys = sums.roots.map(value =>
    keys.fixed({ name: value === '' ? `[no ${label}]` : value, file: '', module: '', kind: 'none' }),
  )
  const isTree = work.kind === 'flamegraph' || (work.kind === 'file' && work.format === 'json')
  const sink = isTree
    ? new TreeSink(limits.nodes, sums.count)
    : isFrames || work.kind === 'stacks'
      ? new ListSink()
      : new FunctionSink()
  try {
    const { total, taken } = await walkStacks(request, sums, rootKeys, keys, sink, tools)
    const whole = sums.values.subarray(0, sums.count).reduce((sum, value) => sum + value, 0) / request.divisor
    const exact = exactTotals(sums, taken, request.divisor, () => readExactSums(sumBytes, label !== null))
    const totals = { whole, total, ...exact }
    if (sink instanceof FunctionSink && work.kind === 'functions') {
      if (work.sums) {
        const before = await addFunctions(request.tenant, work.sums, keys, sink, tools)
        // Nothing is divided where values add up, and without a filter total and whole are the same.
        const all = BigInt(exact.wholeExact) + before
        totals.whole = totals.total = Number(all)
        totals.wholeExact = totals.totalExact = all.toString()
      }
      return { kind: 'functions', ...totals, ...listFunctions(sink, keys, work) }
    }
    if (sink instanceof TreeSink) {
      const { draft } = sink
      draft.sumTotals()
      const { nodes, depth, at } =
        work.kind === 'flamegraph' ? work : { nodes: draft.count, depth: Number.POSITIVE_INFINITY, at: '' }
      const root = at === '' ? 0 : await tools.pace.run(findNode(draft, keys, at))
      const pruned = await tools.pace.run(
        pruneSteps(draft, {
          root,
          maxNodes: nodes,
          maxDepth: depth,
          compareFrames: (a, b) => keys.compare(a, b),
          describeFrame: key => keys.frames[key]!,
        }),
      )
      return work.kind === 'file'
        ? { kind: 'file', ...totals, bytes: formatTree(work.facts, totals, pruned.tree) }
        : { kind: 'flamegraph', ...totals, ...(root === 0 ? {} : { totalExact: null }), ...pruned }
    }
    if (sink instanceof ListSink && work.kind === 'file' && work.format !== 'json') {
      const stacks = { ...sink.finish(), frames: keys.frames, frameFacts: keys.facts }
      const weights = readExactSums(sumBytes, label !== null)
      const bytes = formatStacks(work.format, work.facts, stacks, weights, request.divisor)
      return { kind: 'file', ...totals, bytes }
    }
    if (sink instanceof ListSink && work.kind === 'stacks')
      return { kind: 'stacks', ...totals, ...listStacks(sink, keys, sums) }
    throw new TypeError(`no work is called ${work.kind}`)
  } catch (error) {
    if (error instanceof StrobeError && error.code === 'TREE_LIMIT')
      throw new CodedError('QUERY_TOO_LARGE', `${error.message} (STROBE_QUERY_NODES)`, error.details)
    throw error
  }
}

/** Hands each stack to the sink; returns what those weigh that focus leaves, and which they are, by place. */
async function walkStacks(
  request: TreeRequest,
  sums: StackSums,
  rootKeys: number[],
  keys: FrameKeys,
  sink: StackSink,
  { cache, load, pace, exclusive, becomeLarge }: JobTools,
): Promise<{ total: number; taken: Uint8Array }> {
  const taken = new Uint8Array(sums.count)
  const owner = cache.ownerOf(request.tenant)
  const isFocused = request.focus !== ''
  const isMerged = ['file', 'module', 'package'].includes(request.group as string)
  const isRootAlone = rootKeys.length > 0 && request.work.kind === 'functions'
  let path = new Int32Array(256)
  let frames = 0
  let total = 0

  const take = (place: number, generation: Generation | null, stack: number): void => {
    const value = sums.values[place]! / request.divisor
    let depth = 0
    let isWanted = !isFocused
    let isEmpty = true
    if (generation !== null) {
      const columns = keys.of(generation)
      const { stackFrames } = generation
      const start = generation.stackStart(stack)
      const end = generation.stackEnd(stack)
      frames += end - start
      if (end - start + 2 > path.length) path = new Int32Array(2 * (end - start + 2))
      isEmpty = start === end
      for (let at = start; at < end; at++) {
        const frame = stackFrames[at]!
        let key = columns.key[frame]!
        if (key === -1) key = keys.look(generation, columns, frame)
        if (columns.isFocused[frame] === 1) isWanted = true
        if (key === hidden || (isMerged && depth > 0 && path[depth - 1] === key)) continue
        path[depth++] = key
      }
    }
    if (!isWanted) return
    if (depth === 0)
      path[depth++] = keys.fixed(generation === null ? notStored : isEmpty ? NO_STACK : hiddenFrame)
    if (rootKeys.length > 0) {
      if (isRootAlone) depth = 0
      path[depth++] = rootKeys[sums.root[place]!]!
    }
    total += value
    taken[place] = 1
    sink.add(path, depth, value, place)
  }
  const checkFrames = () => {
    if (frames > request.limits.frames)
      throw new CodedError(
        'QUERY_TOO_LARGE',
        `the stacks of the query have more than ${request.limits.frames} frames (STROBE_QUERY_FRAMES); take a shorter range or fewer series`,
        { limitFrames: request.limits.frames, observedFrames: frames },
      )
  }

  let isLarge = false
  /** Between stacks, and never while loads of others wait for this one. */
  const breathe = async () => {
    checkFrames()
    if (!isLarge && sink instanceof TreeSink && sink.draft.count > largeNodes) {
      isLarge = true
      await becomeLarge()
    }
    if (pace.isTurnOver) await pace.giveWay()
  }

  const missing: number[] = []
  for (let place = 0; place < sums.count; place++) {
    const stack = cache.find(sums.ids[2 * place]!, sums.ids[2 * place + 1]!, owner)
    if (stack >= 0) take(place, cache.found, stack)
    else missing.push(place)
    if (place % 256 === 255) await breathe()
  }
  cache.hits += sums.count - missing.length
  cache.misses += missing.length
  let batch = 2000
  for (let start = 0; start < missing.length; ) {
    const places = missing.slice(start, start + batch)
    start += places.length
    let bytes = 0
    await exclusive(async () => {
      // Another query may have brought some of them meanwhile.
      const left = places.filter(place => {
        const stack = cache.find(sums.ids[2 * place]!, sums.ids[2 * place + 1]!, owner)
        if (stack >= 0) take(place, cache.found, stack)
        return stack < 0
      })
      if (left.length === 0) return
      const ids = new Uint32Array(2 * left.length)
      for (const [at, place] of left.entries()) {
        ids[2 * at] = sums.ids[2 * place]!
        ids[2 * at + 1] = sums.ids[2 * place + 1]!
      }
      const loadCounted: Load = async (kind, wanted) => {
        const answer = await pace.waitFor(load(kind, wanted))
        if (kind === 'stacks') bytes += answer.length
        return answer
      }
      await loadStacks(cache, owner, ids, loadCounted, (at, generation, stack) =>
        take(left[at]!, generation, stack),
      )
    })
    await breathe()
    if (bytes > 0)
      batch = Math.max(100, Math.min(idsPerLoad, Math.floor((places.length * batchBytes) / bytes)))
  }
  checkFrames()
  return { total, taken }
}

/** Adds functions that levels have summed; returns what they weigh by themselves. Only without focus, hide and divisor. */
async function addFunctions(
  tenant: string,
  bytes: Uint8Array,
  keys: FrameKeys,
  sink: FunctionSink,
  { cache, load, pace, exclusive }: JobTools,
): Promise<bigint> {
  const owner = cache.ownerOf(tenant)
  const sums = readFunctionSums(bytes)
  const take = (place: number, generation: Generation, frame: number): void => {
    const columns = keys.of(generation)
    const known = columns.key[frame]!
    const key = known === -1 ? keys.look(generation, columns, frame) : known
    sink.addSums(key, sums.self[place]!, sums.total[place]!)
  }
  const missing: number[] = []
  for (let place = 0; place < sums.count; place++) {
    const [low, high] = [sums.ids[2 * place]!, sums.ids[2 * place + 1]!]
    if (high === 0 && low <= 1) {
      const key = keys.fixed(low === 0 ? NO_STACK : notStored)
      sink.addSums(key, sums.self[place]!, sums.total[place]!)
      continue
    }
    const frame = cache.findFrame(low, high, owner)
    if (frame >= 0) take(place, cache.found, frame)
    else missing.push(place)
    if (place % 256 === 255 && pace.isTurnOver) await pace.giveWay()
  }
  for (let start = 0; start < missing.length; start += idsPerLoad) {
    const places = missing.slice(start, start + idsPerLoad)
    await exclusive(() => {
      // Another query may have brought some of them meanwhile.
      const left = places.filter(place => {
        const frame = cache.findFrame(sums.ids[2 * place]!, sums.ids[2 * place + 1]!, owner)
        if (frame >= 0) take(place, cache.found, frame)
        return frame < 0
      })
      const ids = new Uint32Array(left.flatMap(place => [sums.ids[2 * place]!, sums.ids[2 * place + 1]!]))
      const loadPaced: Load = (kind, wanted) => pace.waitFor(load(kind, wanted))
      return loadFrames(cache, owner, ids, loadPaced, (at, generation, frame) =>
        take(left[at]!, generation, frame),
      )
    })
    if (pace.isTurnOver) await pace.giveWay()
  }
  return sums.exactSelf
}

function listStacks(sink: ListSink, keys: FrameKeys, sums: StackSums): ListedStacks {
  const { place, ...columns } = sink.finish()
  const ids = new Uint32Array(2 * place.length)
  for (const [stack, at] of place.entries()) {
    ids[2 * stack] = sums.ids[2 * at]!
    ids[2 * stack + 1] = sums.ids[2 * at + 1]!
  }
  return { ...columns, frames: keys.frames, values: Float64Array.from(place, at => sums.values[at]!), ids }
}

function listFunctions(
  { self, total }: FunctionSink,
  keys: FrameKeys,
  { sort, limit, search }: { sort: 'self' | 'total'; limit: number; search: string },
): Pick<TreeAnswer & { kind: 'functions' }, 'functions' | 'omitted'> {
  const wanted = search.toLowerCase()
  const found: number[] = []
  for (const [key, { name, file }] of keys.frames.entries()) {
    if ((self[key] ?? 0) === 0 && (total[key] ?? 0) === 0) continue
    if (wanted === '' || name.toLowerCase().includes(wanted) || file.toLowerCase().includes(wanted))
      found.push(key)
  }
  const [first, second] = sort === 'self' ? [self, total] : [total, self]
  found.sort((a, b) => first[b]! - first[a]! || second[b]! - second[a]! || keys.compare(a, b))
  const omitted = found.slice(limit)
  return {
    functions: found
      .slice(0, limit)
      .map(key => ({ frame: keys.frames[key]!, self: self[key]!, total: total[key]! })),
    omitted: { functions: omitted.length, self: omitted.reduce((sum, key) => sum + self[key]!, 0) },
  }
}
