/** Delays between retries: exponential with full jitter, so agents that failed together do not return together. */
export class BackOff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: () => number
  #failures = 0

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /** Delay before the next try. askedMs: what the server asked for, 0 for nothing: never earlier than that. */
  next(askedMs: number): number {
    const ceiling = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 30)
    // At least half: a delay near zero would be no delay.
    return askedMs + ceiling * (0.5 + this.#random() / 2)
  }

  reset(): void {
    this.#failures = 0
  }
}
