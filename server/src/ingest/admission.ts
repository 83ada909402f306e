import { CodedError } from '../errors.ts'
import { type TenantValues, tenantSetting } from '../tenant-settings.ts'

/** Half of the time within which a series counts as active. */
const generationMs = 30 * 60_000
/** How much of a second's bytes may come at once. */
const burstSeconds = 10
const inFlightRetryMs = 1_000
/** Longest time a client is told to stay away for series that may be gone sooner. */
const maxSeriesRetryMs = 5 * 60_000

export interface AdmissionOptions {
  valuesOf: (tenant: string) => TenantValues
  /** A burst is never smaller, so that the largest body passes once the tenant has been quiet. */
  maxBodyBytes: number
  /** Monotonic, ms. */
  now: () => number
}

class TenantState {
  /** Bytes that may still come at once. */
  roomBytes = Number.POSITIVE_INFINITY
  refilledAtMs = 0
  inFlight = 0
  /** Series of this half hour, and those of the one before that did not come again. */
  young = new Set<bigint>()
  old = new Set<bigint>()
  generationEndsAtMs: number

  constructor(nowMs: number) {
    this.generationEndsAtMs = nowMs + generationMs
  }
}

/** What each tenant may send to this server at once, per second and per hour. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #tenants = new Map<string, TenantState>()

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  /**
   * For one request of so many bytes, as sent; the answer is called when the request is done with.
   * Throws RATE_LIMITED or REQUESTS_TOO_MANY with retryAfterMs.
   */
  enter(tenant: string, bytes: number): () => void {
    const values = this.#options.valuesOf(tenant)
    const state = this.#state(tenant)
    const limit = tenantSetting(values, 'requests_in_flight')
    if (state.inFlight >= limit)
      throw new CodedError(
        'REQUESTS_TOO_MANY',
        `${state.inFlight} requests of the tenant are under way, the limit is ${limit}; come again in ${inFlightRetryMs} ms`,
        {
          limitName: 'requests_in_flight',
          limit,
          observed: state.inFlight + 1,
          retryAfterMs: inFlightRetryMs,
        },
      )
    this.#takeBytes(state, tenantSetting(values, 'bytes_per_second'), bytes)
    state.inFlight++
    let isInside = true
    return () => {
      if (isInside) state.inFlight--
      isInside = false
    }
  }

  /**
   * Counts the series of a batch as active: all of them or, when the limit would be passed, none.
   * Throws SERIES_TOO_MANY with retryAfterMs.
   */
  addSeries(tenant: string, ids: Iterable<bigint>): void {
    const state = this.#state(tenant)
    const nowMs = this.#options.now()
    this.#age(state, nowMs)
    const fresh = new Set<bigint>()
    const again: bigint[] = []
    for (const id of ids) {
      if (state.young.has(id)) continue
      if (state.old.has(id)) again.push(id)
      else fresh.add(id)
    }
    const limit = tenantSetting(this.#options.valuesOf(tenant), 'active_series')
    const active = state.young.size + state.old.size
    if (fresh.size > 0 && active + fresh.size > limit) {
      const retryAfterMs = Math.min(maxSeriesRetryMs, Math.max(1_000, state.generationEndsAtMs - nowMs))
      throw new CodedError(
        'SERIES_TOO_MANY',
        `the tenant has ${active} active series, ${fresh.size} more would pass the limit of ${limit}; a label with ever new values makes new series, else raise it`,
        { limitName: 'active_series', limit, observed: active + fresh.size, retryAfterMs },
      )
    }
    for (const id of fresh) state.young.add(id)
    for (const id of again) {
      state.old.delete(id)
      state.young.add(id)
    }
  }

  #takeBytes(state: TenantState, perSecond: number, bytes: number): void {
    if (perSecond === 0) {
      state.roomBytes = Number.POSITIVE_INFINITY
      return
    }
    const nowMs = this.#options.now()
    const burst = Math.max(perSecond * burstSeconds, this.#options.maxBodyBytes)
    const refilled = state.roomBytes + ((nowMs - state.refilledAtMs) / 1000) * perSecond
    state.roomBytes = Math.min(burst, refilled)
    state.refilledAtMs = nowMs
    if (bytes > state.roomBytes && state.roomBytes < burst) {
      const missing = Math.min(bytes, burst) - state.roomBytes
      const retryAfterMs = Math.max(1, Math.ceil((missing / perSecond) * 1000))
      throw new CodedError(
        'RATE_LIMITED',
        `a request of ${bytes} bytes came when ${Math.floor(state.roomBytes)} were left, the limit is ${perSecond} bytes per second, ${burst} at once; come again in ${retryAfterMs} ms`,
        { limitName: 'bytes_per_second', limit: perSecond, observed: bytes, burst, retryAfterMs },
      )
    }
    state.roomBytes -= bytes
  }

  #state(tenant: string): TenantState {
    let state = this.#tenants.get(tenant)
    if (!state) {
      state = new TenantState(this.#options.now())
      this.#tenants.set(tenant, state)
    }
    return state
  }

  #age(state: TenantState, nowMs: number): void {
    if (nowMs < state.generationEndsAtMs) return
    // After a long silence the younger ones are old, too.
    state.old = nowMs < state.generationEndsAtMs + generationMs ? state.young : new Set()
    state.young = new Set()
    state.generationEndsAtMs = nowMs + generationMs
  }
}
