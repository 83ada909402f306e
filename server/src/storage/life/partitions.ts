import type { StoreClient } from '../client.ts'

/** Rows of one table that are dropped together. */
export interface Partition {
  table: string
  id: string
  /** Retention class, 0 for tables without. */
  class: number
  /** First and last time of a row, unix s; wider than the rows after a deletion. */
  from: number
  to: number
  rows: number
  bytes: number
}

/** Partitions of those tables that are in the store, oldest first. Each needs a time in its partition key. */
export async function selectPartitions(client: StoreClient, tables: readonly string[]): Promise<Partition[]> {
  const result = await client.query({
    query: `SELECT table, partition_id, toFloat64(sum(rows)), toFloat64(sum(bytes_on_disk))
      FROM system.parts WHERE active AND rows > 0 AND database = currentDatabase() AND table IN {tables:Array(String)}
      GROUP BY table, partition_id`,
    query_params: { tables: [...tables] },
    format: 'JSONCompactEachRow',
  })
  const sizes = (await result.json()) as unknown as [string, string, number, number][]
  const partitions: Partition[] = []
  for (const table of new Set(sizes.map(([name]) => name))) {
    const column = table === 'batches' ? 'received_at' : 'time'
    // From the index of each part: no column is read. system.parts does not tell it for DateTime64.
    const times = await client.query({
      query: `SELECT _partition_id, toUnixTimestamp(toDateTime(min(${column}))), toUnixTimestamp(toDateTime(max(${column})))
        FROM ${table} GROUP BY _partition_id`,
      format: 'JSONCompactEachRow',
    })
    for (const [id, from, to] of (await times.json()) as unknown as [string, number, number][]) {
      const size = sizes.find(([name, partition]) => name === table && partition === id)
      if (!size) continue
      const [, , rows, bytes] = size
      partitions.push({
        table,
        id,
        class: id.includes('-') ? Number(id.split('-')[0]) : 0,
        from,
        to,
        rows,
        bytes,
      })
    }
  }
  return partitions.sort((a, b) => a.to - b.to || (a.table < b.table ? -1 : 1))
}

/** Its rows are gone from the disk afterwards, in every tenant. */
export async function dropPartition(client: StoreClient, partition: Partition): Promise<void> {
  await forgetLevel(client, partition, null)
  await client.command({ query: `ALTER TABLE ${partition.table} DROP PARTITION ID '${partition.id}'` })
}

/** Rewrites the parts of the partition that have rows of these tenants. */
export async function deleteTenants(
  client: StoreClient,
  partition: Partition,
  tenants: readonly string[],
): Promise<void> {
  await forgetLevel(client, partition, tenants)
  await client.command({
    query: `ALTER TABLE ${partition.table} DELETE IN PARTITION ID '${partition.id}' WHERE tenant IN {tenants:Array(String)} SETTINGS mutations_sync = 1`,
    query_params: { tenants: [...tenants] },
  })
}

const levels = ['group_10m', 'series_1h', 'group_1h', 'functions_1h', 'instance_functions_10m']

/** A level's rows go after what says that they count; between the two a query reads another level. */
async function forgetLevel(
  client: StoreClient,
  { table, from, to }: Partition,
  tenants: readonly string[] | null,
): Promise<void> {
  if (!levels.includes(table)) return
  const condition = `level = {table:String} AND time >= toDateTime({from:UInt32}) AND time <= toDateTime({to:UInt32})
    ${tenants ? 'AND tenant IN {tenants:Array(String)}' : ''}`
  const query_params = { table, from, to, ...(tenants ? { tenants: [...tenants] } : {}) }
  const result = await client.query({
    query: `SELECT 1 FROM level_state WHERE ${condition} LIMIT 1`,
    query_params,
    format: 'JSONEachRow',
  })
  if ((await result.json()).length === 0) return
  await client.command({
    query: `ALTER TABLE level_state DELETE WHERE ${condition} SETTINGS mutations_sync = 1`,
    query_params,
  })
}
