import { CodedError } from '../../errors.ts'

export interface GateLimits {
  /** Statements at once. */
  places: number
  /** Of them at most so many for statements over long ranges, so that short ones find a place. */
  longPlaces: number
  /** Of them at most so many for one tenant. */
  tenantPlaces(tenant: string): number
  /** Statements of one tenant that may wait. */
  tenantWaiting(tenant: string): number
  /** Longest that one waits. */
  waitMs: number
}

export interface GateRequest {
  tenant: string
  isLong: boolean
}

interface Waiting extends GateRequest {
  enter(): void
}

/**
 * Lets statements into the store. Free places go round the tenants that wait, one each, in the order in which
 * they were last served; a tenant's own statements come first to last, except that a short one passes long
 * ones that may not run yet.
 */
export class FairGate {
  readonly #limits: GateLimits
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #runningOf = new Map<string, number>()
  #running = 0
  #longRunning = 0

  constructor(limits: GateLimits) {
    this.#limits = limits
  }

  get waiting(): number {
    let count = 0
    for (const list of this.#waiting.values()) count += list.length
    return count
  }

  /**
   * Resolves with what to call once the statement is over.
   * Throws QUERY_CANCELLED when the signal fires, QUERIES_TOO_MANY when too many wait or it waited too long.
   */
  async enter(request: GateRequest, signal: AbortSignal | undefined): Promise<() => void> {
    if (signal?.aborted) throw cancelled()
    const { tenant } = request
    const ahead = this.#waiting.get(tenant) ?? []
    const passes = (other: GateRequest) => request.isLong || !other.isLong
    if (this.#hasPlace(request) && !ahead.some(passes)) return this.#take(request)
    const limit = this.#limits.tenantWaiting(tenant)
    if (ahead.length >= limit)
      throw new CodedError(
        'QUERIES_TOO_MANY',
        `tenant ${tenant} has ${ahead.length} statements of queries waiting, the limit is ${limit} (query_waiting of the tenant); try again in a second`,
        { limitName: 'query_waiting', limit, observed: ahead.length, tenant, retryAfterMs: 1000 },
      )
    return new Promise<() => void>((resolve, reject) => {
      const list = this.#waiting.get(tenant) ?? []
      this.#waiting.set(tenant, list)
      const end = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      const giveUp = (error: CodedError) => {
        end()
        list.splice(list.indexOf(entry), 1)
        if (list.length === 0) this.#waiting.delete(tenant)
        reject(error)
      }
      const entry: Waiting = {
        ...request,
        enter: () => {
          end()
          resolve(this.#take(request))
        },
      }
      const onAbort = () => giveUp(cancelled())
      const timer = setTimeout(() => giveUp(this.#waitedTooLong(tenant)), this.#limits.waitMs)
      list.push(entry)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #hasPlace({ tenant, isLong }: GateRequest): boolean {
    return (
      this.#running < this.#limits.places &&
      (!isLong || this.#longRunning < this.#limits.longPlaces) &&
      (this.#runningOf.get(tenant) ?? 0) < this.#limits.tenantPlaces(tenant)
    )
  }

  #take({ tenant, isLong }: GateRequest): () => void {
    this.#count(tenant, isLong, 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#count(tenant, isLong, -1)
      this.#admit()
    }
  }

  #count(tenant: string, isLong: boolean, by: number): void {
    this.#running += by
    if (isLong) this.#longRunning += by
    const running = (this.#runningOf.get(tenant) ?? 0) + by
    if (running === 0) this.#runningOf.delete(tenant)
    else this.#runningOf.set(tenant, running)
  }

  /** Who is served goes to the end of the line of tenants. */
  #admit(): void {
    for (let isServed = true; isServed && this.#running < this.#limits.places; ) {
      isServed = false
      for (const [tenant, list] of this.#waiting) {
        const at = list.findIndex(entry => this.#hasPlace(entry))
        if (at < 0) continue
        const [entry] = list.splice(at, 1)
        this.#waiting.delete(tenant)
        if (list.length > 0) this.#waiting.set(tenant, list)
        entry!.enter()
        isServed = true
        break
      }
    }
  }

  #waitedTooLong(tenant: string): CodedError {
    const { waitMs, places } = this.#limits
    const running = this.#runningOf.get(tenant) ?? 0
    const ownPlaces = this.#limits.tenantPlaces(tenant)
    return new CodedError(
      'QUERIES_TOO_MANY',
      `a statement of tenant ${tenant} waited ${waitMs} ms (STROBE_QUERY_TIMEOUT) for a place: ${running} of the tenant run, it may have ${ownPlaces} (query_statements of the tenant) of ${places} (STROBE_QUERY_CONCURRENCY); try again, or take shorter ranges`,
      {
        limitName: 'query_statements',
        limit: ownPlaces,
        observed: running,
        tenant,
        waitMs,
        retryAfterMs: 5000,
      },
    )
  }
}

function cancelled(): CodedError {
  return new CodedError('QUERY_CANCELLED', 'the query was cancelled because the client went away')
}
