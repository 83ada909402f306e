/** A store in memory that answers as the engine does, in RowBinary, for tests of what comes after the sums. */
import type { FrameKind } from '@strobe/profile'
import type { Load } from './stack-loader.ts'

export interface FakeFrame {
  name: string
  file?: string
  module?: string
  kind?: FrameKind
  line?: number
  /** Without a name: where it lies. */
  address?: bigint
}

export interface FakeStack {
  /** Leaf first; indices into the store's frames. */
  frames: number[]
  value: bigint
  /** Value of the root label. */
  root?: string
}

export interface FakeStore {
  /** RowBinary of (stack_id, sum), led by the root when hasRoots. */
  sums(hasRoots?: boolean): Uint8Array
  load: Load
  /** Ids asked for so far, by kind. */
  asked: Record<'stacks' | 'frames' | 'functions', number>
}

/** lost: stacks that the store does not have. */
export function createFakeStore(
  frames: readonly FakeFrame[],
  stacks: readonly FakeStack[],
  lost: ReadonlySet<number> = new Set(),
): FakeStore {
  const asked = { stacks: 0, frames: 0, functions: 0 }
  const functions = [...new Set(frames.filter(frame => frame.name !== '').map(functionKey))]
  const functionId = new Map(functions.map((key, index) => [key, mixId(3, index)]))
  const frameById = new Map(frames.map((frame, index) => [mixId(2, index), frame]))
  const functionById = new Map(
    frames.filter(frame => frame.name !== '').map(frame => [functionId.get(functionKey(frame))!, frame]),
  )
  const stackById = new Map(stacks.map((stack, index) => [mixId(1, index), { stack, index }]))
  return {
    asked,
    sums(hasRoots = false) {
      const rows = new RowWriter()
      for (const [index, { value, root = '' }] of stacks.entries()) {
        if (hasRoots) rows.text(root)
        rows
          .uint64(mixId(1, index))
          .uint64(BigInt.asUintN(64, value))
          .uint64(BigInt.asUintN(64, value >> 64n))
      }
      return rows.finish()
    },
    async load(kind, ids) {
      asked[kind] += ids.length
      const rows = new RowWriter()
      for (const id of ids) {
        if (kind === 'stacks') {
          const found = stackById.get(id)
          if (!found || lost.has(found.index)) continue
          rows.uint64(id).varint(found.stack.frames.length)
          for (const frame of found.stack.frames) rows.uint64(mixId(2, frame))
        } else if (kind === 'frames') {
          const frame = frameById.get(id)
          if (!frame) continue
          rows
            .uint64(id)
            .uint64(frame.name === '' ? 0n : functionId.get(functionKey(frame))!)
            .uint32(frame.line ?? 0)
            .text(frame.module ?? '')
            .text('build')
            .uint64(frame.address ?? 0n)
            .text(frame.kind ?? 'native')
        } else {
          const found = functionById.get(id)
          if (!found) continue
          rows
            .uint64(id)
            .text(found.name)
            .text(found.name)
            .text(found.file ?? '')
            .uint32(7)
            .text(found.module ?? '')
        }
      }
      // As a real store: never in the same turn.
      await new Promise(resolve => setImmediate(resolve))
      return rows.finish()
    },
  }
}

function functionKey({ name, file = '', module = '' }: FakeFrame): string {
  return `${name}\0${file}\0${module}`
}

/** Ids that fill both halves. */
function mixId(kind: number, index: number): bigint {
  return BigInt.asUintN(64, BigInt(kind * 1_000_000_007 + index + 1) * 0x9e3779b97f4a7c15n)
}

class RowWriter {
  #bytes = Buffer.alloc(1024)
  #filled = 0

  uint64(value: bigint): this {
    this.#room(8)
    this.#filled = this.#bytes.writeBigUInt64LE(value, this.#filled)
    return this
  }

  uint32(value: number): this {
    this.#room(4)
    this.#filled = this.#bytes.writeUInt32LE(value, this.#filled)
    return this
  }

  varint(value: number): this {
    this.#room(10)
    let left = value
    for (; left >= 0x80; left = Math.floor(left / 0x80))
      this.#filled = this.#bytes.writeUInt8((left % 0x80) + 0x80, this.#filled)
    this.#filled = this.#bytes.writeUInt8(left, this.#filled)
    return this
  }

  text(text: string): this {
    const bytes = Buffer.from(text)
    this.varint(bytes.length)
    this.#room(bytes.length)
    this.#filled += bytes.copy(this.#bytes, this.#filled)
    return this
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(0, this.#filled))
  }

  #room(bytes: number): void {
    if (this.#filled + bytes <= this.#bytes.length) return
    const longer = Buffer.alloc(2 * (this.#filled + bytes))
    this.#bytes.copy(longer, 0, 0, this.#filled)
    this.#bytes = longer
  }
}

/** Numbers from 0 up to below; the same seed gives the same ones. */
export function seededNumbers(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
}
