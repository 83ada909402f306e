import type { StoreClient } from './client.ts'
import { formatSeconds } from './format-seconds.ts'
import { Polled } from './polled.ts'
import type { PollSettings } from './tenants.ts'

export const keyRoles = ['ingest', 'read', 'admin'] as const
export type KeyRole = (typeof keyRoles)[number]

export interface KeyRow {
  /** Public part of the token. */
  id: string
  tenant: string
  role: KeyRole
  /** SHA-256 of the token, hex. */
  hash: string
  note: string
  createdAtMs: number
  /** 0 while it is good. */
  revokedAtMs: number
}

/** All keys, also those that were revoked. */
export class KeyStore {
  readonly #client: StoreClient
  readonly #polled: Polled<Map<string, KeyRow>>

  constructor(client: StoreClient, settings: PollSettings) {
    this.#client = client
    this.#polled = new Polled({ ...settings, load: () => this.#load(), initial: new Map() })
  }

  start(): Promise<void> {
    return this.#polled.start()
  }

  stop(): void {
    this.#polled.stop()
  }

  /** Whether there ever was one. */
  get hasKeys(): boolean {
    return this.#polled.value.size > 0
  }

  all(): KeyRow[] {
    return [...this.#polled.value.values()]
  }

  get(id: string): KeyRow | undefined {
    return this.#polled.value.get(id)
  }

  /** The same, of a key that another server may have made a moment ago. */
  async find(id: string): Promise<KeyRow | undefined> {
    if (!this.#polled.value.has(id)) await this.#polled.refreshIfOlder(1_000)
    return this.#polled.value.get(id)
  }

  /** Makes or replaces a key. Resolves when it holds here; other servers follow within refreshMs. */
  async write(key: KeyRow): Promise<void> {
    await this.#client.insert({
      table: 'api_keys',
      values: [
        {
          key_id: key.id,
          tenant: key.tenant,
          role: key.role,
          hash: key.hash,
          note: key.note,
          created_at: formatSeconds(key.createdAtMs),
          revoked_at: formatSeconds(key.revokedAtMs),
        },
      ],
      format: 'JSONEachRow',
    })
    await this.#polled.refresh()
  }

  async #load(): Promise<Map<string, KeyRow>> {
    const result = await this.#client.query({
      query: `SELECT key_id AS id, argMax(tenant, at) AS tenant, argMax(role, at) AS role, argMax(hash, at) AS hash, argMax(note, at) AS note,
          toFloat64(toUnixTimestamp64Milli(argMax(created_at, at))) AS createdAtMs,
          toFloat64(toUnixTimestamp64Milli(argMax(revoked_at, at))) AS revokedAtMs
        FROM api_keys GROUP BY key_id ORDER BY createdAtMs, id`,
      format: 'JSONEachRow',
    })
    const rows = await result.json<KeyRow>()
    return new Map(rows.map(row => [row.id, row]))
  }
}
