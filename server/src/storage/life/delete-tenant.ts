import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError } from '../../errors.ts'
import type { StoreClient } from '../client.ts'
import { formatSeconds } from '../format-seconds.ts'
import { storeTables } from './tables.ts'

export interface TenantDeletion {
  tenant: string
  askedAtMs: number
  /** 0 while rows are being removed. */
  doneAtMs: number
}

export interface TenantDeleterOptions {
  client: StoreClient
  /** Ends the tenant's keys, so that nothing of it can arrive any more. */
  revokeKeys(tenant: string): Promise<void>
  /** Writers forget what they remember as stored; once the rows are gone. */
  renewEpoch(): Promise<void>
  /** Other servers know of revoked keys, and have stored what they had taken, after so long. */
  settleMs: number
  now: () => number
  log: { info(facts: object, message: string): void; error(facts: object, message: string): void }
}

// Keys stay, revoked: a store that had keys must not open again because a tenant went.
const tables = storeTables.filter(({ name, hasTenant }) => hasTenant && name !== 'api_keys')
const maxPasses = 20

/** Removes tenants with all that is theirs. What is asked for stands in the store and goes on after a restart. */
export class TenantDeleter {
  readonly #options: TenantDeleterOptions
  readonly #stopping = new AbortController()
  readonly #running = new Map<string, Promise<void>>()

  constructor(options: TenantDeleterOptions) {
    this.#options = options
  }

  /** Goes on with what an earlier process began. */
  async resume(): Promise<void> {
    for (const { tenant, doneAtMs } of await this.list()) if (doneAtMs === 0) this.#start(tenant)
  }

  /** Begins; the rows are gone when doneAtMs is set. Again while it runs is harmless. Throws BAD_REQUEST for `default`. */
  async begin(tenant: string): Promise<TenantDeletion> {
    if (tenant === 'default')
      throw new CodedError(
        'BAD_REQUEST',
        'the tenant default belongs to the operator and cannot be deleted; start with another data folder instead',
      )
    const pending = (await this.list()).find(each => each.tenant === tenant && each.doneAtMs === 0)
    const deletion = pending ?? { tenant, askedAtMs: this.#options.now(), doneAtMs: 0 }
    if (!pending) await this.#record(deletion)
    this.#start(tenant)
    return deletion
  }

  /** Every tenant that was deleted, with the last time that it was. */
  async list(): Promise<TenantDeletion[]> {
    const result = await this.#options.client.query({
      query: `SELECT tenant, toFloat64(toUnixTimestamp64Milli(argMax(asked_at, at))) AS askedAtMs,
          toFloat64(toUnixTimestamp64Milli(argMax(done_at, at))) AS doneAtMs
        FROM tenant_deletions GROUP BY tenant ORDER BY tenant`,
      format: 'JSONEachRow',
    })
    return result.json<TenantDeletion>()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#running.values())
  }

  #start(tenant: string): void {
    if (this.#running.has(tenant)) return
    const running = this.#delete(tenant)
      .catch((error: unknown) => {
        if (!this.#stopping.signal.aborted)
          this.#options.log.error(
            { tenant, reason: (error as Error).message },
            'deleting a tenant failed; it goes on when it is asked for again, or at the next start',
          )
      })
      .finally(() => this.#running.delete(tenant))
    this.#running.set(tenant, running)
  }

  async #delete(tenant: string): Promise<void> {
    const { revokeKeys, renewEpoch, settleMs, now, log } = this.#options
    const { signal } = this.#stopping
    const asked = (await this.list()).find(each => each.tenant === tenant)
    await revokeKeys(tenant)
    await sleep(settleMs, undefined, { signal })
    let rows = 0
    for (let pass = 0; ; pass++) {
      if (pass === maxPasses) throw new Error('rows of the tenant came again after each of 20 passes')
      const removed = await this.#removeRows(tenant)
      if (removed === 0) break
      rows += removed
    }
    await renewEpoch()
    await this.#record({ tenant, askedAtMs: asked?.askedAtMs ?? now(), doneAtMs: now() })
    log.info({ tenant, rows }, 'a tenant was deleted')
  }

  /** One pass over all tables. Returns how many rows it met. */
  async #removeRows(tenant: string): Promise<number> {
    const { client } = this.#options
    let rows = 0
    for (const { name } of tables) {
      this.#stopping.signal.throwIfAborted()
      const query_params = { tenant }
      const result = await client.query({
        query: `SELECT toFloat64(count()) AS n FROM ${name} WHERE tenant = {tenant:String}`,
        query_params,
        format: 'JSONEachRow',
      })
      const found = (await result.json<{ n: number }>())[0]?.n ?? 0
      if (found === 0) continue
      rows += found
      await client.command({
        query: `ALTER TABLE ${name} DELETE WHERE tenant = {tenant:String} SETTINGS mutations_sync = 1`,
        query_params,
      })
    }
    return rows
  }

  async #record({ tenant, askedAtMs, doneAtMs }: TenantDeletion): Promise<void> {
    await this.#options.client.insert({
      table: 'tenant_deletions',
      values: [
        {
          tenant,
          asked_at: formatSeconds(askedAtMs),
          done_at: formatSeconds(doneAtMs),
          at: formatSeconds(Math.max(this.#options.now(), askedAtMs + (doneAtMs > 0 ? 1 : 0))),
        },
      ],
      format: 'JSONEachRow',
    })
  }
}
