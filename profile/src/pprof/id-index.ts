import { profileError } from '../errors.ts'
import { roomyInt32 } from './grown.ts'
import type { WireReader } from './wire-reader.ts'

/**
 * Positions by id. Writers number from 1, so an array serves; an id far over the count (an address or a
 * hash as id) moves all to a Map, whose size is bounded by the number of messages.
 */
export class IdIndex {
  readonly #what: string
  #dense = new Int32Array(0)
  #denseLength = 0
  #sparse: Map<number | bigint, number> | null = null
  #id: number | bigint = 0

  constructor(what: string) {
    this.#what = what
  }

  /** Forgets what it holds and makes room for so many messages. */
  reset(count: number): void {
    this.#denseLength = 2 * count + 64
    this.#dense = roomyInt32(this.#dense, this.#denseLength)
    this.#dense.fill(-1, 0, this.#denseLength)
    this.#sparse = null
  }

  begin(): void {
    this.#id = 0
  }

  readId(reader: WireReader): void {
    const id = reader.uint()
    this.#id = id < this.#denseLength ? id : exactId(reader, id)
  }

  add(position: number): void {
    const id = this.#id
    if (id === 0) throw profileError('PPROF_ZERO_ID', `${this.#what} number ${position + 1} has id 0`)
    const isDense = typeof id === 'number' && id < this.#denseLength
    const isKnown = isDense ? this.#dense[id]! >= 0 : this.#sparse?.has(id) === true
    if (isKnown) {
      throw profileError('PPROF_DUPLICATE_ID', `two messages are ${this.#what} ${id}`, { id: String(id) })
    }
    if (isDense) this.#dense[id] = position
    else {
      this.#sparse ??= new Map()
      this.#sparse.set(id, position)
    }
  }

  /** Reads an id and gives its position, -1 when no message has it. */
  find(reader: WireReader): number {
    const id = reader.uint()
    return id < this.#denseLength ? this.#dense[id]! : (this.#sparse?.get(exactId(reader, id)) ?? -1)
  }
}

/** id: what the reader has just read. */
function exactId(reader: WireReader, id: number): number | bigint {
  return id <= Number.MAX_SAFE_INTEGER ? id : (BigInt(reader.high) << 32n) | BigInt(reader.low)
}
