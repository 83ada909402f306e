/** A set of 64-bit ids, given as halves, for one batch or group; emptied and used again. */
export class IdSet {
  #words = new Int32Array(2048)
  #mask = 1023
  #count = 0
  #hasZero = false

  /** False when the id was there. */
  add(low: number, high: number): boolean {
    if (low === 0 && high === 0) {
      const isNew = !this.#hasZero
      this.#hasZero = true
      return isNew
    }
    const words = this.#words
    let slot = this.#slot(low, high)
    while (words[2 * slot] !== 0 || words[2 * slot + 1] !== 0) {
      if (words[2 * slot] === (low | 0) && words[2 * slot + 1] === (high | 0)) return false
      slot = (slot + 1) & this.#mask
    }
    words[2 * slot] = low
    words[2 * slot + 1] = high
    this.#count++
    if (2 * this.#count > this.#mask) this.#grow()
    return true
  }

  clear(): void {
    this.#hasZero = false
    if (this.#count === 0) return
    this.#count = 0
    // One large batch must not make all later ones wipe a large table.
    if (this.#mask > 65_535) {
      this.#words = new Int32Array(2048)
      this.#mask = 1023
    } else this.#words.fill(0)
  }

  #slot(low: number, high: number): number {
    const hash = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
    return (hash ^ (hash >>> 15)) & this.#mask
  }

  #grow(): void {
    const old = this.#words
    this.#words = new Int32Array(2 * old.length)
    this.#mask = 2 * this.#mask + 1
    for (let at = 0; at < old.length; at += 2) {
      if (old[at] === 0 && old[at + 1] === 0) continue
      let slot = this.#slot(old[at]!, old[at + 1]!)
      while (this.#words[2 * slot] !== 0 || this.#words[2 * slot + 1] !== 0) slot = (slot + 1) & this.#mask
      this.#words[2 * slot] = old[at]!
      this.#words[2 * slot + 1] = old[at + 1]!
    }
  }
}
