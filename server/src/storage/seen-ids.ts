const hourMs = 3_600_000

const headerWords = 16
const VERSION = 0
const FILLED = 1
const slotsPerBucket = 8
// Two words of the id, and one with the day it was seen and the hour it was last asked for.
const wordsPerSlot = 3
const bucketWords = slotsPerBucket * wordsPerSlot

/** Bytes that so many ids take; the number is rounded up to a power of two. */
export function seenIdsBytes(capacity: number): number {
  let slots = slotsPerBucket
  while (slots < capacity) slots *= 2
  return 4 * (headerWords + slots * wordsPerSlot)
}

/**
 * Which content ids the store already has, in a buffer that threads share: one of them marks and clears, all
 * look. It never grows: a bucket of 8 that is full loses the id that was asked for longest ago, and losing
 * one costs no more than sending its row again.
 *
 * An id counts as seen for a day, after which its row is sent again so that last_seen moves; the hour of that
 * differs by id, so that a day's stacks do not all come at midnight.
 *
 * A look-up beside a mark may read half of the old id and half of the new one, and then says "not seen".
 */
export class SeenIds {
  readonly #words: Int32Array
  readonly #mask: number

  /** buffer: zeros of seenIdsBytes(), or what another thread's SeenIds has. */
  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
    this.#mask = (this.#words.length - headerWords) / bucketWords - 1
  }

  /** Changes when everything is forgotten: rows left out before that are not in the store any more. */
  get version(): number {
    return Atomics.load(this.#words, VERSION)
  }

  get size(): number {
    return Atomics.load(this.#words, FILLED)
  }

  /** hour: as hourOf() gives it. */
  has(low: number, high: number, hour: number): boolean {
    const words = this.#words
    const first = this.#bucket(low, high)
    for (let at = first; at < first + bucketWords; at += wordsPerSlot) {
      if (words[at] !== (low | 0) || words[at + 1] !== (high | 0)) continue
      const stamp = words[at + 2]!
      if (stamp >>> 16 !== dayOf(low, hour)) return false
      // Another id may have come here meanwhile: its stamp stays.
      if ((stamp & 0xffff) !== (hour & 0xffff))
        Atomics.compareExchange(words, at + 2, stamp, (stamp & 0xffff0000) | (hour & 0xffff))
      return true
    }
    return false
  }

  /** Only after the rows are durable. */
  mark(low: number, high: number, hour: number): void {
    const words = this.#words
    const first = this.#bucket(low, high)
    let place = first
    let oldest = -1
    for (let at = first; at < first + bucketWords; at += wordsPerSlot) {
      const stamp = words[at + 2]!
      if (words[at] === (low | 0) && words[at + 1] === (high | 0)) {
        place = at
        oldest = -1
        break
      }
      const age = stamp === 0 ? 0x10000 : (hour - stamp) & 0xffff
      if (age > oldest) {
        oldest = age
        place = at
      }
    }
    if (oldest === 0x10000) Atomics.add(words, FILLED, 1)
    words[place] = low
    words[place + 1] = high
    Atomics.store(words, place + 2, (dayOf(low, hour) << 16) | (hour & 0xffff))
  }

  clear(): void {
    this.#words.fill(0, headerWords)
    Atomics.store(this.#words, FILLED, 0)
    // Last: who reads the new version finds nothing.
    Atomics.add(this.#words, VERSION, 1)
  }

  #bucket(low: number, high: number): number {
    const hash = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
    return headerWords + ((hash ^ (hash >>> 15)) & this.#mask) * bucketWords
  }
}

export function hourOf(nowMs: number): number {
  return Math.floor(nowMs / hourMs)
}

/** Never 0, which is an empty slot's. */
function dayOf(low: number, hour: number): number {
  return (Math.floor((hour + ((low >>> 0) % 24)) / 24) % 0xffff) + 1
}
