import type { StoreClient } from './client.ts'
import { Polled } from './polled.ts'

export interface PollSettings {
  refreshMs: number
  onFailure: (error: unknown) => void
}

/** A value that a setting had, '' for the default, until the next one. */
export interface PastValue {
  sinceMs: number
  value: string
}

interface TenantState {
  values: Map<string, string>
  past: Map<string, PastValue[]>
}

type SettingRow = [tenant: string, name: string, newest: string, past: [sinceMs: number, value: string][]]

const none: ReadonlyMap<string, string> = new Map()

/** Settings of all tenants, as text; what they mean stands in tenant-settings.ts. */
export class TenantStore {
  readonly #client: StoreClient
  readonly #polled: Polled<Map<string, TenantState>>

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
    return this.#polled.value.get(tenant)?.values ?? none
  }

  /** Every value that a setting was given by setKept, oldest first. */
  past(tenant: string, name: string): readonly PastValue[] {
    return this.#polled.value.get(tenant)?.past.get(name) ?? []
  }

  /** Tenants that have settings. */
  tenants(): string[] {
    return [...this.#polled.value].flatMap(([tenant, { values }]) => (values.size > 0 ? [tenant] : []))
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

  /** The same, and the value is never forgotten; always by this way for one name. */
  async setKept(tenant: string, name: string, value: string): Promise<void> {
    await this.#client.command({
      query: `INSERT INTO tenant_settings (tenant, name, value, change, at)
        SELECT {tenant:String}, {name:String}, {value:String}, toUnixTimestamp64Micro(at), at FROM (SELECT now64(6) AS at)`,
      query_params: { tenant, name, value },
    })
    await this.#polled.refresh()
  }

  async #load(): Promise<Map<string, TenantState>> {
    const result = await this.#client.query({
      query: `SELECT tenant, name, argMax(value, at), arraySort(groupArrayIf((change / 1000, value), change != 0))
        FROM tenant_settings GROUP BY tenant, name ORDER BY tenant, name`,
      format: 'JSONCompactEachRow',
    })
    const all = new Map<string, TenantState>()
    for (const [tenant, name, newest, past] of (await result.json()) as unknown as SettingRow[]) {
      const state = all.get(tenant) ?? { values: new Map(), past: new Map() }
      if (newest !== '') state.values.set(name, newest)
      if (past.length > 0)
        state.past.set(
          name,
          past.map(([sinceMs, value]) => ({ sinceMs, value })),
        )
      all.set(tenant, state)
    }
    return all
  }
}
