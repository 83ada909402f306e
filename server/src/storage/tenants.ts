import type { StoreClient } from './client.ts'
import { Polled } from './polled.ts'

export interface PollSettings {
  refreshMs: number
  onFailure: (error: unknown) => void
}

const none: ReadonlyMap<string, string> = new Map()

/** Settings of all tenants, as text; what they mean stands in tenant-settings.ts. */
export class TenantStore {
  readonly #client: StoreClient
  readonly #polled: Polled<Map<string, Map<string, string>>>

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

  /** What the tenant has of its own. The same object until something changes. */
  settings(tenant: string): ReadonlyMap<string, string> {
    return this.#polled.value.get(tenant) ?? none
  }

  /** Tenants that have settings. */
  tenants(): string[] {
    return [...this.#polled.value.keys()]
  }

  /** value: '' for the default. Resolves when it holds here; other servers follow within refreshMs. */
  async set(tenant: string, name: string, value: string): Promise<void> {
    await this.#client.insert({
      table: 'tenant_settings',
      values: [{ tenant, name, value }],
      format: 'JSONEachRow',
    })
    await this.#polled.refresh()
  }

  async #load(): Promise<Map<string, Map<string, string>>> {
    const result = await this.#client.query({
      query:
        'SELECT tenant, name, argMax(value, at) AS newest FROM tenant_settings GROUP BY tenant, name ORDER BY tenant, name',
      format: 'JSONEachRow',
    })
    const all = new Map<string, Map<string, string>>()
    for (const row of await result.json<{ tenant: string; name: string; newest: string }>()) {
      if (row.newest === '') continue
      const values = all.get(row.tenant) ?? new Map<string, string>()
      values.set(row.name, row.newest)
      all.set(row.tenant, values)
    }
    return all
  }
}
