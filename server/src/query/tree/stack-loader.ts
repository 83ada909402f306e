import type { FrameKind } from '@strobe/profile'
import { frameKinds, type Generation } from './generation.ts'
import { IdTable } from './id-table.ts'
import type { StackCache } from './stack-cache.ts'
import { RowCursor, readStackRows } from './store-rows.ts'

/** What is read from the store, by ids, at most idsPerLoad of them: an answer in RowBinary. */
export type LoadKind = 'stacks' | 'frames' | 'functions'
export type Load = (kind: LoadKind, ids: BigUint64Array) => Promise<Uint8Array>

/** Called once for each stack asked for; generation null: the store does not have it. */
export type UseStack = (place: number, generation: Generation | null, stack: number) => void

// 21 bytes an id as text: well under what one statement may have.
export const idsPerLoad = 20_000

/**
 * Reads stacks that the cache does not have, keeps them and hands each on at once: later ones may already
 * push it out.
 *
 * ids: halves, low first. Calls must not overlap on one cache; that also spares the second of two equal queries
 * its reads.
 */
export async function loadStacks(
  cache: StackCache,
  owner: number,
  ids: Uint32Array,
  load: Load,
  use: UseStack,
): Promise<void> {
  const places = new IdTable()
  for (let half = 0; half < ids.length; half += 2) places.add(ids[half]!, ids[half + 1]!, owner)
  const isFound = new Uint8Array(places.count)
  let waiting = [...readStackRows(await load('stacks', wideIds(ids)))]
  const frames = new FrameRows()
  for (let round = 0; waiting.length > 0; round++) {
    const wanted = new IdTable()
    for (const { frames: halves } of waiting)
      for (let at = 0; at < halves.length; at += 2) {
        const [low, high] = [halves[at]!, halves[at + 1]!]
        // What was there may be pushed out by the first stacks of this batch: then all that is left is read.
        if (!frames.has(low, high) && (round > 0 || !cache.hasFrame(low, high, owner)))
          wanted.add(low, high, 0)
      }
    await frames.load(wanted, load)
    const again: typeof waiting = []
    for (const row of waiting) {
      const place = places.find(row.low, row.high, owner)
      if (place < 0 || isFound[place] === 1) continue
      const stack = cache.add(row.low, row.high, owner, row.frames, (into, low, high) =>
        frames.make(into, low, high, owner),
      )
      if (stack < 0) again.push(row)
      else {
        isFound[place] = 1
        use(place, cache.found, stack)
      }
    }
    waiting = again
  }
  for (let place = 0; place < isFound.length; place++) if (isFound[place] === 0) use(place, null, -1)
}

/**
 * Reads frames that the cache does not have, keeps them and hands each on at once, as loadStacks does; one that is
 * not stored is handed on as what stands for it.
 *
 * ids: halves, low first, each once. Calls must not overlap on one cache.
 */
export async function loadFrames(
  cache: StackCache,
  owner: number,
  ids: Uint32Array,
  load: Load,
  use: (place: number, generation: Generation, frame: number) => void,
): Promise<void> {
  const wanted = new IdTable()
  for (let half = 0; half < ids.length; half += 2) wanted.add(ids[half]!, ids[half + 1]!, 0)
  const rows = new FrameRows()
  await rows.load(wanted, load)
  for (let half = 0; half < ids.length; half += 2) {
    const frame = cache.addFrame(ids[half]!, ids[half + 1]!, (into, low, high) =>
      rows.make(into, low, high, owner),
    )
    use(half / 2, cache.found, frame)
  }
}

/** Frames and functions as the store answered, by id. */
class FrameRows {
  readonly #frames = new IdTable()
  readonly #functions = new IdTable()
  /** By place in the tables; null: asked for and not stored. */
  readonly #frameRows: (FrameRow | null)[] = []
  readonly #functionRows: (FunctionRow | null)[] = []

  has(low: number, high: number): boolean {
    return this.#frames.find(low, high, 0) >= 0
  }

  async load(wanted: IdTable, load: Load): Promise<void> {
    const functions = new IdTable()
    for (const ids of parts(wanted)) {
      const cursor = new RowCursor(await load('frames', ids))
      while (!cursor.isDone) {
        const place = this.#frames.add(cursor.uint32(), cursor.uint32(), 0)
        const row = readFrame(cursor)
        this.#frameRows[place] = row
        if (this.#functions.find(row.functionLow, row.functionHigh, 0) < 0)
          functions.add(row.functionLow, row.functionHigh, 0)
      }
    }
    for (let place = 0; place < wanted.count; place++) {
      const frame = this.#frames.add(wanted.low(place), wanted.high(place), 0)
      this.#frameRows[frame] ??= null
    }
    for (const ids of parts(functions)) {
      const cursor = new RowCursor(await load('functions', ids))
      while (!cursor.isDone) {
        const place = this.#functions.add(cursor.uint32(), cursor.uint32(), 0)
        this.#functionRows[place] = readFunction(cursor)
      }
    }
  }

  /** The frame's index in the generation; -1 when it was not asked for. */
  make(into: Generation, low: number, high: number, owner: number): number {
    const place = this.#frames.find(low, high, 0)
    if (place < 0) return -1
    const row = this.#frameRows[place]
    const { texts } = into
    if (!row)
      return into.addFrame(low, high, owner, {
        ...nothing,
        name: texts.addText(notStored.name),
        kind: notStored.kind,
      })
    const at = this.#functions.find(row.functionLow, row.functionHigh, 0)
    const info = at < 0 ? null : this.#functionRows[at]
    const name = info ? info.name || info.systemName : ''
    const isNamed = info !== null && info !== undefined && name !== ''
    return into.addFrame(low, high, owner, {
      name: texts.addText(isNamed ? name : addressName(row)),
      file: texts.addText(isNamed ? info.file : ''),
      module: texts.addText((isNamed && info.module) || row.module),
      kind: isNamed ? row.kind : 'unsymbolized',
      systemName: texts.addText(info?.systemName ?? ''),
      startLine: info?.startLine ?? 0,
      line: row.line,
      buildId: texts.addText(row.buildId),
      addressLow: row.addressLow,
      addressHigh: row.addressHigh,
    })
  }
}

const nothing = {
  file: 0,
  module: 0,
  systemName: 0,
  startLine: 0,
  line: 0,
  buildId: 0,
  addressLow: 0,
  addressHigh: 0,
}

/** What stands for a stack or frame that the store has lost. */
export const notStored = { name: '[stack not stored]', file: '', module: '', kind: 'none' } as const

interface FrameRow {
  functionLow: number
  functionHigh: number
  line: number
  module: string
  buildId: string
  addressLow: number
  addressHigh: number
  kind: FrameKind
}

interface FunctionRow {
  name: string
  systemName: string
  file: string
  startLine: number
  module: string
}

/** What follows the id in a row of `frames`. */
function readFrame(cursor: RowCursor): FrameRow {
  const row = {
    functionLow: cursor.uint32(),
    functionHigh: cursor.uint32(),
    line: cursor.uint32(),
    module: cursor.text(),
    buildId: cursor.text(),
    addressLow: cursor.uint32(),
    addressHigh: cursor.uint32(),
  }
  const kind = cursor.text() as FrameKind
  return { ...row, kind: frameKinds.includes(kind) ? kind : 'native' }
}

/** What follows the id in a row of `functions`. */
function readFunction(cursor: RowCursor): FunctionRow {
  return {
    name: cursor.text(),
    systemName: cursor.text(),
    file: cursor.text(),
    startLine: cursor.uint32(),
    module: cursor.text(),
  }
}

function addressName({ module, addressLow, addressHigh }: FrameRow): string {
  const address = (BigInt(addressHigh) << 32n) | BigInt(addressLow)
  return `${module || '[unknown]'}+0x${address.toString(16)}`
}

function* parts(ids: IdTable): Generator<BigUint64Array> {
  for (let start = 0; start < ids.count; start += idsPerLoad) {
    const part = new BigUint64Array(Math.min(idsPerLoad, ids.count - start))
    const halves = new Uint32Array(part.buffer)
    for (let at = 0; at < part.length; at++) {
      halves[2 * at] = ids.low(start + at)
      halves[2 * at + 1] = ids.high(start + at)
    }
    yield part
  }
}

/** Little-endian hosts only, as the ids themselves are. */
function wideIds(halves: Uint32Array): BigUint64Array {
  return new BigUint64Array(halves.slice().buffer)
}
