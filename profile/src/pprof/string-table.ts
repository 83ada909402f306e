import { profileError } from '../errors.ts'
import { IdentityHasher } from '../identity.ts'
import { roomyUint32 } from './grown.ts'
import type { Spans } from './layout.ts'

const UNKNOWN = 0
const ASCII = 1
const OTHER = 2

/** The string table: texts are decoded when asked for, and read as bytes where that is enough. */
export class StringTable {
  #bytes: Uint8Array = new Uint8Array(0)
  #spans: Spans | null = null
  #count = 0
  readonly #decoded = new Map<number, string>()
  readonly #decoder = new TextDecoder()
  readonly #encoder = new TextEncoder()
  readonly #hasher: IdentityHasher
  #hashes = new Uint32Array(0)
  /** Per string UNKNOWN, ASCII or OTHER. */
  #content = new Uint8Array(0)

  constructor(hasher = new IdentityHasher()) {
    this.#hasher = hasher
  }

  /** Takes the table of another body; nothing of the last one is left. */
  reset(bytes: Uint8Array, spans: Spans): void {
    this.#bytes = bytes
    this.#spans = spans
    this.#count = spans.count
    this.#decoded.clear()
    this.#hashes = roomyUint32(this.#hashes, 2 * spans.count + 2)
    if (this.#content.length <= spans.count) this.#content = new Uint8Array(2 * spans.count + 1)
    else this.#content.fill(UNKNOWN, 0, spans.count + 1)
    if (spans.count > 0 && spans.end[0]! !== spans.start[0]!) {
      throw profileError(
        'PPROF_STRING_ZERO',
        `string_table[0] is "${this.get(0).slice(0, 64)}", it must be empty`,
      )
    }
  }

  get count(): number {
    return this.#count
  }

  get(index: number): string {
    const known = this.#decoded.get(index)
    if (known !== undefined) return known
    this.check(index)
    const text = index < this.#count ? this.#decoder.decode(this.#raw(index)) : ''
    this.#decoded.set(index, text)
    return text
  }

  /** Every text, by index. */
  all(): string[] {
    const spans = this.#spans
    if (spans === null || spans.count === 0) return ['']
    const first = spans.start[0]!
    // The table's bytes as characters, one each: right for strings that are ASCII, which nearly all are.
    const characters = new TextDecoder('latin1').decode(
      this.#bytes.subarray(first, spans.end[spans.count - 1]!),
    )
    return Array.from({ length: spans.count }, (_, index) =>
      this.#isAscii(index)
        ? characters.slice(spans.start[index]! - first, spans.end[index]! - first)
        : this.get(index),
    )
  }

  /** Throws PPROF_STRING_INDEX unless the table has the index. */
  check(index: number): void {
    // Some writers leave the whole table out of an empty profile: index 0 is '' even then.
    if (index < this.#count || index === 0) return
    throw profileError(
      'PPROF_STRING_INDEX',
      `string index ${index} is outside the table of ${this.#count} strings`,
      { index, strings: this.#count },
    )
  }

  isEmpty(index: number): boolean {
    if (index >= this.#count) return true
    const length = this.#spans!.end[index]! - this.#spans!.start[index]!
    // Three bytes may be a byte order mark, which is no text.
    return length === 0 || (length === 3 && this.get(index) === '')
  }

  /** Text in UTF-8, as get() would give it. A view that the next body may change. */
  utf8(index: number): Uint8Array {
    if (index >= this.#count) return new Uint8Array(0)
    return this.#isAscii(index) ? this.#raw(index) : this.#encoder.encode(this.get(index))
  }

  /** Puts the text hash of a string at entry `entry` of `halves`. The index must be one that check() took. */
  storeHash(index: number, halves: Uint32Array, entry: number): void {
    if (this.#content[index] === UNKNOWN) this.#hash(index)
    halves[2 * entry] = this.#hashes[2 * index]!
    halves[2 * entry + 1] = this.#hashes[2 * index + 1]!
  }

  #hash(index: number): void {
    const hasher = this.#hasher
    const start = index < this.#count ? this.#spans!.start[index]! : 0
    const end = index < this.#count ? this.#spans!.end[index]! : 0
    if (hasher.asciiText(this.#bytes, start, end)) this.#content[index] = ASCII
    else {
      hasher.text(this.get(index))
      this.#content[index] = OTHER
    }
    hasher.store(this.#hashes, index)
  }

  #isAscii(index: number): boolean {
    if (this.#content[index] === UNKNOWN) this.#hash(index)
    return this.#content[index] === ASCII
  }

  #raw(index: number): Uint8Array {
    return this.#bytes.subarray(this.#spans!.start[index]!, this.#spans!.end[index]!)
  }
}
