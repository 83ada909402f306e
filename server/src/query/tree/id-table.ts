/**
 * Finds the place of a 64-bit id in an owner's space; places count up from 0 in order of arrival. Open
 * addressing, at most half full.
 */
export class IdTable {
  count = 0
  #low = new Uint32Array(64)
  #high = new Uint32Array(64)
  #owner = new Uint32Array(64)
  #slots = new Int32Array(256).fill(-1)

  /** -1 when the id is not there. */
  find(low: number, high: number, owner: number): number {
    return this.#slots[this.#slotOf(low, high, owner)]!
  }

  /** The place of the id; count is raised when it is new. */
  add(low: number, high: number, owner: number): number {
    let slot = this.#slotOf(low, high, owner)
    const known = this.#slots[slot]!
    if (known >= 0) return known
    if (this.count === this.#low.length) {
      this.#grow()
      slot = this.#slotOf(low, high, owner)
    }
    const place = this.count++
    this.#slots[slot] = place
    this.#low[place] = low
    this.#high[place] = high
    this.#owner[place] = owner
    return place
  }

  low(place: number): number {
    return this.#low[place]!
  }

  high(place: number): number {
    return this.#high[place]!
  }

  owner(place: number): number {
    return this.#owner[place]!
  }

  get byteLength(): number {
    return 12 * this.#low.length + 4 * this.#slots.length
  }

  #slotOf(low: number, high: number, owner: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    // Ids are hashes, but what is hostile may not be: all of their bits count.
    const hash = Math.imul(low ^ Math.imul(high, 0x85ebca6b) ^ owner, 0x9e3779b1)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const place = slots[slot]!
      if (
        place < 0 ||
        (this.#low[place] === low && this.#high[place] === high && this.#owner[place] === owner)
      )
        return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const size = 2 * this.#low.length
    this.#low = grown(this.#low, size)
    this.#high = grown(this.#high, size)
    this.#owner = grown(this.#owner, size)
    this.#slots = new Int32Array(4 * size).fill(-1)
    for (let place = 0; place < this.count; place++)
      this.#slots[this.#slotOf(this.#low[place]!, this.#high[place]!, this.#owner[place]!)] = place
  }
}

/** A longer copy. */
export function grown<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(
  from: T,
  size: number,
): T {
  const to = new (from.constructor as new (size: number) => T)(size)
  to.set(from)
  return to
}

/** The same array when it has room for `size`, else a copy of at least twice its length. */
export function withRoom<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(
  from: T,
  size: number,
): T {
  return size <= from.length ? from : grown(from, Math.max(size, 2 * from.length))
}
