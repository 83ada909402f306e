export interface PolledOptions<T> {
  load: () => Promise<T>
  initial: T
  refreshMs: number
  /** A load that failed; what was there before stays. */
  onFailure: (error: unknown) => void
}

/**
 * A small table in memory, read again every so often: other servers write to it too. What is there is at most
 * refreshMs old while the store answers.
 */
export class Polled<T> {
  readonly #options: PolledOptions<T>
  #value: T
  #timer: NodeJS.Timeout | null = null
  #loading: Promise<void> | null = null
  #loadedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: PolledOptions<T>) {
    this.#options = options
    this.#value = options.initial
  }

  get value(): T {
    return this.#value
  }

  /** Throws when the first load fails. */
  async start(): Promise<void> {
    await this.refresh()
    this.#timer = setInterval(() => {
      this.refresh().catch(this.#options.onFailure)
    }, this.#options.refreshMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
  }

  /** Resolves with a value that was loaded after the call. */
  async refresh(): Promise<void> {
    // One under way may have read before the write that this call is about.
    while (this.#loading) await this.#loading.catch(() => {})
    this.#loading = this.#load()
    try {
      await this.#loading
    } finally {
      this.#loading = null
    }
  }

  /** The same, at most once in minAgeMs; failures keep the old value. */
  async refreshIfOlder(minAgeMs: number): Promise<void> {
    if (performance.now() - this.#loadedAtMs < minAgeMs) return
    await this.refresh().catch(this.#options.onFailure)
  }

  async #load(): Promise<void> {
    this.#loadedAtMs = performance.now()
    this.#value = await this.#options.load()
  }
}
