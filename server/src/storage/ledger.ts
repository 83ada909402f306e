import type { StoreClient } from './client.ts'

export function batchKey(tenant: string, batchId: Uint8Array): string {
  return `${tenant}/${Buffer.from(batchId).toString('hex')}`
}

/** A parameter would cost the embedded engine a statement and a new session, for every group. */
function quoted(text: string): string {
  return `unhex('${Buffer.from(text).toString('hex')}')`
}

/** Hex ids. */
export function keysByTenant(keys: Iterable<string>): Map<string, string[]> {
  const byTenant = new Map<string, string[]>()
  for (const key of keys) {
    const at = key.lastIndexOf('/')
    const list = byTenant.get(key.slice(0, at))
    if (list) list.push(key.slice(at + 1))
    else byTenant.set(key.slice(0, at), [key.slice(at + 1)])
  }
  return byTenant
}

/**
 * Batches that were stored. Memory answers for the recent ones, the table for all others: a retry may come
 * after a restart, or to another server than the first try.
 */
export class Ledger {
  readonly #client: StoreClient
  readonly #capacity: number
  readonly #recent = new Set<string>()

  constructor(client: StoreClient, capacity: number) {
    this.#client = client
    this.#capacity = capacity
  }

  isRecent(key: string): boolean {
    return this.#recent.has(key)
  }

  /** Only after the rows of the table are durable. */
  remember(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#recent.add(key)
      if (this.#recent.size > this.#capacity) {
        for (const oldest of this.#recent) {
          this.#recent.delete(oldest)
          break
        }
      }
    }
  }

  forget(): void {
    this.#recent.clear()
  }

  /** Those of keys whose batches stand in the table. */
  async select(keys: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>()
    for (const [tenant, ids] of keysByTenant(keys)) {
      const list = ids.map(id => `unhex('${id}')`).join(', ')
      const result = await this.#client.query({
        query: `SELECT DISTINCT lower(hex(batch_id)) AS id FROM batches WHERE tenant = ${quoted(tenant)} AND batch_id IN (${list})`,
        format: 'JSONEachRow',
      })
      for (const { id } of await result.json<{ id: string }>()) found.add(`${tenant}/${id}`)
    }
    return found
  }
}
