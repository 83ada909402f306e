import { profileError } from '../errors.ts'
import { IdentityHasher } from '../identity.ts'
import type { Spans } from './layout.ts'

/** The string table: decoded when asked for, once each. */
export class StringTable {
  readonly #bytes: Uint8Array
  readonly #spans: Spans
  readonly #decoded: (string | undefined)[]
  readonly #decoder = new TextDecoder()
  /** The table's bytes as characters, one each: right for strings that are ASCII, which nearly all are. */
  readonly #characters: string
  readonly #charactersStart: number
  /** Where bytes over 0x7f lie, ascending; null when they are many. Long lengths of strings are among them. */
  readonly #highBytes: number[] | null
  readonly #hashes: Uint32Array
  readonly #isHashed: Uint8Array
  readonly #hasher = new IdentityHasher()

  constructor(bytes: Uint8Array, spans: Spans) {
    this.#bytes = bytes
    this.#spans = spans
    this.#decoded = new Array(spans.count)
    this.#hashes = new Uint32Array(2 * spans.count + 2)
    this.#isHashed = new Uint8Array(spans.count + 1)
    this.#charactersStart = spans.count === 0 ? 0 : spans.start[0]!
    const end = spans.count === 0 ? 0 : spans.end[spans.count - 1]!
    this.#characters = new TextDecoder('latin1').decode(bytes.subarray(this.#charactersStart, end))
    this.#highBytes = findHighBytes(bytes, this.#charactersStart, end)
    if (spans.count > 0 && spans.end[0]! !== spans.start[0]!) {
      throw profileError(
        'PPROF_STRING_ZERO',
        `string_table[0] is "${this.get(0).slice(0, 64)}", it must be empty`,
      )
    }
  }

  get(index: number): string {
    const known = this.#decoded[index]
    if (known !== undefined) return known
    // Some writers leave the whole table out of an empty profile: index 0 is '' even then.
    if (index === 0 && this.#spans.count === 0) return ''
    if (index >= this.#spans.count) {
      throw profileError(
        'PPROF_STRING_INDEX',
        `string index ${index} is outside the table of ${this.#spans.count} strings`,
        { index, strings: this.#spans.count },
      )
    }
    const bytes = this.#bytes
    const start = this.#spans.start[index]!
    const end = this.#spans.end[index]!
    const text = this.#isAscii(start, end)
      ? this.#characters.slice(start - this.#charactersStart, end - this.#charactersStart)
      : this.#decoder.decode(bytes.subarray(start, end))
    this.#decoded[index] = text
    return text
  }

  /** Puts the text hash of a string at entry `entry` of `halves`. The index must be one that get() took. */
  storeHash(index: number, halves: Uint32Array, entry: number): void {
    if (this.#isHashed[index] === 0) {
      const start = index < this.#spans.count ? this.#spans.start[index]! : 0
      const end = index < this.#spans.count ? this.#spans.end[index]! : 0
      if (this.#isAscii(start, end)) this.#hasher.asciiText(this.#bytes, start, end)
      else this.#hasher.text(this.get(index))
      this.#hasher.store(this.#hashes, index)
      this.#isHashed[index] = 1
    }
    halves[2 * entry] = this.#hashes[2 * index]!
    halves[2 * entry + 1] = this.#hashes[2 * index + 1]!
  }

  #isAscii(start: number, end: number): boolean {
    const highBytes = this.#highBytes
    if (highBytes === null) {
      let seen = 0
      for (let at = start; at < end; at++) seen |= this.#bytes[at]!
      return seen < 0x80
    }
    let from = 0
    let to = highBytes.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (highBytes[middle]! < start) from = middle + 1
      else to = middle
    }
    return from === highBytes.length || highBytes[from]! >= end
  }
}

const MAX_HIGH_BYTES = 1024

function findHighBytes(bytes: Uint8Array, start: number, end: number): number[] | null {
  const found: number[] = []
  let at = start
  for (; at + 8 <= end; at += 8) {
    const seen =
      bytes[at]! |
      bytes[at + 1]! |
      bytes[at + 2]! |
      bytes[at + 3]! |
      bytes[at + 4]! |
      bytes[at + 5]! |
      bytes[at + 6]! |
      bytes[at + 7]!
    if (seen < 0x80) continue
    for (let i = at; i < at + 8; i++) if (bytes[i]! >= 0x80) found.push(i)
    if (found.length > MAX_HIGH_BYTES) return null
  }
  for (; at < end; at++) if (bytes[at]! >= 0x80) found.push(at)
  return found
}
