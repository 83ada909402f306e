import { withRoom } from './id-table.ts'

/** Distinct texts in one run of bytes; a text is its index, 0 the empty one. */
export class TextTable {
  #bytes = Buffer.alloc(4096)
  #offset = new Uint32Array(256)
  #slots = new Int32Array(512).fill(-1)
  #hash = new Uint32Array(256)
  #count = 0
  // Names come from programs that others run: without a seed they could be chosen to collide.
  readonly #seed = Math.floor(Math.random() * 0x1_0000_0000)

  constructor() {
    this.add(this.#bytes, 0, 0)
  }

  /** The index of source[start .. end]. */
  add(source: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(source, start, end, this.#seed)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (;;) {
      const text = this.#slots[slot]!
      if (text < 0) break
      if (this.#hash[text] === hash && this.#equals(text, source, start, end)) return text
      slot = (slot + 1) & mask
    }
    const text = this.#count++
    this.#slots[slot] = text
    const from = this.#offset[text]!
    const to = from + end - start
    if (to > this.#bytes.length) {
      const bytes = Buffer.alloc(Math.max(to, 2 * this.#bytes.length))
      bytes.set(this.#bytes)
      this.#bytes = bytes
    }
    this.#offset = withRoom(this.#offset, text + 2)
    this.#hash = withRoom(this.#hash, text + 1)
    // Texts are short: a loop is quicker than a view and a copy.
    for (let at = start, into = from; at < end; at++, into++) this.#bytes[into] = source[at]!
    this.#offset[text + 1] = to
    this.#hash[text] = hash
    if (4 * this.#count > this.#slots.length) this.#rehash()
    return text
  }

  addText(text: string): number {
    const bytes = Buffer.from(text)
    return this.add(bytes, 0, bytes.length)
  }

  /** A text of another table. */
  addFrom(other: TextTable, text: number): number {
    return this.add(other.#bytes, other.#offset[text]!, other.#offset[text + 1]!)
  }

  read(text: number): string {
    return this.#bytes.toString('utf8', this.#offset[text]!, this.#offset[text + 1]!)
  }

  get byteLength(): number {
    return this.#bytes.length + 4 * (this.#offset.length + this.#hash.length + this.#slots.length)
  }

  #equals(text: number, source: Uint8Array, start: number, end: number): boolean {
    const from = this.#offset[text]!
    if (this.#offset[text + 1]! - from !== end - start) return false
    for (let at = 0; at < end - start; at++) if (this.#bytes[from + at] !== source[start + at]) return false
    return true
  }

  #rehash(): void {
    const slots = new Int32Array(2 * this.#slots.length).fill(-1)
    for (let text = 0; text < this.#count; text++) {
      let slot = this.#hash[text]! & (slots.length - 1)
      while (slots[slot]! >= 0) slot = (slot + 1) & (slots.length - 1)
      slots[slot] = text
    }
    this.#slots = slots
  }
}

function hashBytes(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let hash = 0x811c9dc5 ^ seed
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}
