import { grown, roomyInt32 } from './grown.ts'

/**
 * The lists of locations that samples name, each kept once when its bytes are the same: a body that many
 * series share names a stack again for each of them, and reading it once is enough.
 */
export class LocationLists {
  /** Lists read. */
  count = 0
  /** count + 1 offsets into location. */
  offset = new Uint32Array(257)
  location = new Uint32Array(2048)
  /** Locations filled; those past offset[count] belong to the list that is being read. */
  filled = 0
  #bytes: Uint8Array = new Uint8Array(0)
  /** Where each list's bytes lie; equal when it was not read from one run of bytes. */
  #start = new Uint32Array(256)
  #end = new Uint32Array(256)
  #slots = new Int32Array(1024).fill(-1)
  #mask = 1023
  #slot = 0

  reset(bytes: Uint8Array, samples: number): void {
    this.count = 0
    this.filled = 0
    this.#bytes = bytes
    let size = 1024
    while (size < 2 * samples) size *= 2
    this.#slots = roomyInt32(this.#slots, size)
    this.#slots.fill(-1, 0, size)
    this.#mask = size - 1
  }

  /** The list that was read from the same bytes, -1 for none; then end() with them files it there. */
  find(start: number, end: number): number {
    const bytes = this.#bytes
    let hash = end - start
    let at = start
    for (const last = end - 3; at < last; at += 4) {
      hash = Math.imul(
        hash ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)),
        0x9e3779b1,
      )
      hash ^= hash >>> 15
    }
    for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x85ebca6b)
    let slot = (hash ^ (hash >>> 13)) & this.#mask
    for (let list = this.#slots[slot]!; list >= 0; list = this.#slots[slot]!) {
      if (this.#isSame(list, start, end)) return list
      slot = (slot + 1) & this.#mask
    }
    this.#slot = slot
    return -1
  }

  push(location: number): void {
    const at = this.filled
    if (at === this.location.length) this.location = grown(this.location, new Uint32Array(2 * at))
    this.location[at] = location
    this.filled = at + 1
  }

  /** Begins a list with the locations of another. */
  copy(list: number): void {
    for (let at = this.offset[list]!; at < this.offset[list + 1]!; at++) this.push(this.location[at]!)
  }

  /** Ends the list that was pushed; start and end are find()'s, or equal when it has no bytes of its own. */
  end(start: number, end: number): number {
    const list = this.count
    if (list === this.#start.length) {
      this.#start = grown(this.#start, new Uint32Array(2 * list))
      this.#end = grown(this.#end, new Uint32Array(2 * list))
      this.offset = grown(this.offset, new Uint32Array(2 * list + 1))
    }
    this.#start[list] = start
    this.#end[list] = end
    if (start !== end) this.#slots[this.#slot] = list
    this.count = list + 1
    this.offset[list + 1] = this.filled
    return list
  }

  #isSame(list: number, start: number, end: number): boolean {
    const bytes = this.#bytes
    const from = this.#start[list]!
    if (this.#end[list]! - from !== end - start) return false
    for (let at = start, other = from; at < end; at++, other++) if (bytes[at] !== bytes[other]) return false
    return true
  }
}
