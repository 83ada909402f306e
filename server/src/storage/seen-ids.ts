const hourMs = 3_600_000

/**
 * Which content ids the store already has, bounded. An id counts as seen for a day, after which its row is
 * sent again so that last_seen moves; the hour of that differs by id, so that a day's stacks do not all
 * come at midnight.
 */
export class SeenIds {
  readonly #capacity: number
  // Two generations: the older is dropped whole when the younger is half the capacity.
  #young = new Map<bigint, number>()
  #old = new Map<bigint, number>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  #day(id: bigint, nowMs: number): number {
    return Math.floor((Math.floor(nowMs / hourMs) + Number(id % 24n)) / 24)
  }

  has(id: bigint, nowMs: number): boolean {
    return (this.#young.get(id) ?? this.#old.get(id)) === this.#day(id, nowMs)
  }

  /** Only after the rows are durable. */
  mark(ids: Iterable<bigint>, nowMs: number): void {
    for (const id of ids) {
      if (this.#young.size >= this.#capacity / 2) {
        this.#old = this.#young
        this.#young = new Map()
      }
      this.#young.set(id, this.#day(id, nowMs))
    }
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }
}
