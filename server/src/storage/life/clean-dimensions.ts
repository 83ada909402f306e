import type { StoreClient } from '../client.ts'
import { type Partition, selectPartitions } from './partitions.ts'
import { storeTables } from './tables.ts'

const dayMs = 86_400_000

/**
 * Days that a dimension row outlives the last sample that may name it.
 *
 * A group leaves out a stack that its server stored less than a day before (seen-ids.ts); the group that brought that
 * stack left out frames that were stored less than a day before it, and so on to functions:
 *
 *   function ──<1 d── frame ──<1 d── stack ──<1 d── sample encoded ──<=1 d── sample's own time, by a clock ahead
 *
 * So what a sample of time t names was last seen four days before t or later; one more for clocks that differ.
 * By the same token no server believes that something is stored which goes here: it was seen within a day.
 */
const lagDays = 5

/**
 * Days that a group may wait in the journal of a server that is down, or in memory while the store is away, and
 * still find the dimensions that it did not bring along.
 */
const journalDays = 14

/**
 * First day whose dimension rows stay, as days since 1970: those last seen before it are named by no sample that is
 * there or on its way. partitions: of every timed table.
 */
export function firstKeptDay(partitions: readonly Partition[], nowMs: number): number {
  const today = Math.floor(nowMs / dayMs)
  const oldest = partitions.reduce((day, { from }) => Math.min(day, Math.floor(from / 86_400)), today)
  return Math.min(oldest, today - journalDays) - lagDays
}

export interface CleanedDimension {
  table: string
  rows: number
}

/** Deletes what nothing names any more; a table is rewritten only where such rows are. */
export async function cleanDimensions(client: StoreClient, nowMs: number): Promise<CleanedDimension[]> {
  const timed = storeTables.filter(({ kind }) => kind === 'timed').map(({ name }) => name)
  const day = firstKeptDay(await selectPartitions(client, timed), nowMs)
  const cleaned: CleanedDimension[] = []
  for (const { name, kind } of storeTables) {
    if (kind !== 'dimension') continue
    const over = `toDate(last_seen) < toDate({day:UInt16})`
    // A series that is seen again keeps its first_seen: older rows of it go only with the newest.
    const condition =
      name === 'series'
        ? `(tenant, service, type, series_id, group_id) IN (SELECT tenant, service, type, series_id, group_id FROM series
            GROUP BY tenant, service, type, series_id, group_id HAVING max(series.last_seen) < toDateTime(toDate({day:UInt16})))`
        : name === 'sample_labels'
          ? `(tenant, service, name, value) IN (SELECT tenant, service, name, value FROM sample_labels
            GROUP BY tenant, service, name, value HAVING max(sample_labels.last_seen) < toDate({day:UInt16}))`
          : over
    const result = await client.query({
      query: `SELECT toFloat64(count()) AS n FROM ${name} WHERE ${condition}`,
      query_params: { day },
      format: 'JSONEachRow',
    })
    const rows = (await result.json<{ n: number }>())[0]?.n ?? 0
    if (rows === 0) continue
    await client.command({
      query: `ALTER TABLE ${name} DELETE WHERE ${condition} SETTINGS mutations_sync = 1`,
      query_params: { day },
    })
    cleaned.push({ table: name, rows })
  }
  return cleaned
}
