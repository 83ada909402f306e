import type { StoreClient } from '../client.ts'
import { deleteTenants, dropPartition, type Partition, selectPartitions } from './partitions.ts'
import { storeTables } from './tables.ts'
import { rowSeconds, type Windows, windowOf } from './windows.ts'

export interface ExpireOptions {
  client: StoreClient
  nowMs: number
  /** Of tenants that have no settings of their own; their class is 0. */
  defaults: TenantLife
  /** Of tenants with settings of their own. */
  own: ReadonlyMap<string, TenantLife>
  /** Batches are remembered so long: a batch that was received before is refused by its times. */
  ledgerKeepMs: number
  /** Rewrites of partitions that other tenants still need, in one look. */
  maxDeletes: number
  onRemoved(table: string, partition: Partition): void
  /** Awaited after each rewrite; gets how long it took. */
  pace(tookMs: number): Promise<void>
}

export interface TenantLife {
  windows: Windows
  /** Retention class of what it writes now. */
  class: number
}

/**
 * Removes what no window reaches any more. A partition goes whole when it holds nobody's rows that are still wanted;
 * where tenants of one class have different windows, the rows of the shorter ones are rewritten away, oldest first.
 * Returns whether rewrites were left for the next look.
 */
export async function expire(options: ExpireOptions): Promise<boolean> {
  const { client, nowMs, onRemoved } = options
  const timed = storeTables.filter(({ kind }) => kind === 'timed').map(({ name }) => name)
  let deletes = 0
  for (const partition of await selectPartitions(client, [...timed, 'level_state', 'batches'])) {
    const { table, to } = partition
    const hasEnded = (keepMs: number) => (to + rowSeconds(table)) * 1000 <= nowMs - keepMs
    const tenants =
      table === 'batches'
        ? { drop: hasEnded(options.ledgerKeepMs), delete: [] }
        : await chooseTenants(options, partition, windows => hasEnded(windowOf(windows, table)))
    if (tenants.drop) {
      await dropPartition(client, partition)
      onRemoved(table, partition)
    } else if (tenants.delete.length > 0 && deletes++ < options.maxDeletes) {
      const startedAt = performance.now()
      await deleteTenants(client, partition, tenants.delete)
      onRemoved(table, partition)
      await options.pace(performance.now() - startedAt)
    }
  }
  return deletes > options.maxDeletes
}

/** Whether the whole partition may go, or else whose rows in it. */
async function chooseTenants(
  { client, defaults, own }: ExpireOptions,
  partition: Partition,
  hasEnded: (windows: Windows) => boolean,
): Promise<{ drop: boolean; delete: string[] }> {
  const isDefaultOver = hasEnded(defaults.windows)
  const over = [...own].filter(([, life]) => hasEnded(life.windows)).map(([tenant]) => tenant)
  const wanted = [...own.keys()].filter(tenant => !over.includes(tenant))
  if (isDefaultOver && wanted.length === 0) return { drop: true, delete: [] }
  if (!isDefaultOver && over.length === 0) return { drop: false, delete: [] }
  // The tenant leads every key, so these read a few granules.
  const select = async (isIn: boolean, names: string[]) => {
    const result = await client.query({
      query: `SELECT DISTINCT tenant FROM ${partition.table} WHERE _partition_id = {id:String}
        AND tenant ${isIn ? 'IN' : 'NOT IN'} {names:Array(String)}`,
      query_params: { id: partition.id, names },
      format: 'JSONEachRow',
    })
    return (await result.json<{ tenant: string }>()).map(row => row.tenant)
  }
  // A late batch of a tenant that still wants it could come between this look and the drop.
  const mayWrite = [...(isDefaultOver ? [] : [defaults]), ...wanted.map(tenant => own.get(tenant)!)].some(
    life => life.class === partition.class || partition.class === 0,
  )
  if (!mayWrite) {
    const theirs = isDefaultOver ? await select(true, wanted) : await select(false, over)
    if (theirs.length === 0) return { drop: true, delete: [] }
  }
  return { drop: false, delete: isDefaultOver ? await select(false, wanted) : await select(true, over) }
}
