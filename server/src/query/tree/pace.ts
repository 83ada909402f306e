import { setImmediate } from 'node:timers/promises'
import { CodedError } from '../../errors.ts'

// Long enough to be worth a turn of the loop, short enough that nobody notices the wait.
const turnMs = 8

/**
 * Shares one thread among jobs: each asks now and then, gives way when its turn is over, and learns there that
 * it is cancelled or late.
 */
export class Pace {
  isCancelled = false
  /** Time spent working, ms: not what it waited for. */
  busyMs = 0
  #turnStartedAt = performance.now()
  readonly #endsAt: number
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
    this.#endsAt = performance.now() + timeoutMs
  }

  get isTurnOver(): boolean {
    return performance.now() - this.#turnStartedAt > turnMs
  }

  /** Throws QUERY_CANCELLED and QUERY_TOO_SLOW. */
  async giveWay(): Promise<void> {
    await this.waitFor(setImmediate())
  }

  /** The same while something else is waited for. */
  async waitFor<T>(something: Promise<T>): Promise<T> {
    this.pause()
    try {
      return await something
    } finally {
      this.#turnStartedAt = performance.now()
      this.check()
    }
  }

  /** After a wait that waitFor does not see the end of. */
  resume(): void {
    this.#turnStartedAt = performance.now()
  }

  pause(): void {
    const now = performance.now()
    this.busyMs += now - this.#turnStartedAt
    this.#turnStartedAt = now
  }

  check(): void {
    if (this.isCancelled)
      throw new CodedError('QUERY_CANCELLED', 'the query was cancelled because the client went away')
    const now = performance.now()
    if (now > this.#endsAt)
      throw new CodedError(
        'QUERY_TOO_SLOW',
        `the query ran longer than ${this.#timeoutMs} ms (STROBE_QUERY_TIMEOUT) while its stacks were put together; take a shorter range or fewer series`,
        { limitMs: this.#timeoutMs, observedMs: Math.round(now - this.#endsAt + this.#timeoutMs) },
      )
  }

  /** Runs steps to their end, giving way between them. */
  async run<T>(steps: Generator<undefined, T>): Promise<T> {
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
      if (this.isTurnOver) await this.giveWay()
    }
  }
}
