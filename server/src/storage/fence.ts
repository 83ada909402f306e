import type { StoreClient } from './client.ts'
import type { Place } from './places.ts'

/**
 * A fence is a row without a tenant under the deduplication token of a group. The store takes one block per
 * token and partition, so whichever comes first, the group's rows or the fence, keeps the other out: for good,
 * whoever is late, and without anybody's clock. Reads name a tenant and never see it.
 */
export type FenceState =
  /** The group's rows stand, or will when they come. */
  | 'clear'
  /** The group's rows are not in the store and never will be. */
  | 'fenced'
  /** Some of each: the group's insert was under way when the fence came. */
  | 'torn'

/** Tables that a group's insert reaches, through views. All but samples get a row for every profile. */
const tables = ['samples', 'profiles', 'totals_1m', 'totals_10m'] as const

// In the quarter's last minute: what rounds times down to ten minutes stays inside.
const fenceSecond = (place: Place) => place.quarter * 900 + 840

export const tokenSettings = (token: string): string =>
  // One block however large: a token counts per block, and a fence is one.
  `insert_deduplication_token = '${token}', deduplicate_blocks_in_dependent_materialized_views = 1, ` +
  'min_insert_block_size_rows = 1000000000, min_insert_block_size_bytes = 0'

export async function buildFence(
  client: StoreClient,
  group: string,
  places: readonly Place[],
): Promise<void> {
  const rows = places.map(
    place =>
      `('', '${group}', '', toDateTime64(${fenceSecond(place)}, 3), toDateTime64(0, 3), now64(3), ${place.retention}, [0], [0], [0])`,
  )
  await client.command({
    query: `INSERT INTO ingest (tenant, service, type, time, original_time, received_at, retention, stack_ids, labelset_ids, vals)
      SETTINGS ${tokenSettings(group)} VALUES ${rows.join(', ')}`,
  })
}

export async function readFence(
  client: StoreClient,
  group: string,
  places: readonly Place[],
): Promise<FenceState> {
  const seconds = places.map(fenceSecond)
  // From the partitions in question alone.
  const range = `time >= toDateTime(${Math.min(...seconds) - 900}) AND time <= toDateTime(${Math.max(...seconds)})`
  const result = await client.query({
    query: tables
      .map(
        table =>
          `SELECT '${table}' AS name, toString(retention) AS class, toString(toDate(time)) AS day FROM ${table}
          WHERE tenant = '' AND service = {group:String} AND ${range} GROUP BY class, day`,
      )
      .concat(
        `SELECT 'place' AS name, toString(place.1) AS class, toString(toDate(toDateTime(place.2))) AS day
        FROM (SELECT arrayJoin([${places.map(place => `(${place.retention}, ${fenceSecond(place)})`).join(', ')}]) AS place)
        GROUP BY class, day`,
        `SELECT 'sampled' AS name, toString(place.1) AS class, toString(toDate(toDateTime(place.2))) AS day
        FROM (SELECT arrayJoin([(0, 0)${places
          .filter(place => place.hasSamples)
          .map(place => `, (${place.retention}, ${fenceSecond(place)})`)
          .join('')}]) AS place) WHERE place.2 > 0
        GROUP BY class, day`,
      )
      .join(' UNION ALL '),
    query_params: { group },
    format: 'JSONEachRow',
  })
  const found = new Map<string, Set<string>>()
  for (const { name, class: retention, day } of await result.json<{
    name: string
    class: string
    day: string
  }>()) {
    const days = found.get(name) ?? new Set()
    days.add(`${retention}/${day}`)
    found.set(name, days)
  }
  return judge(found)
}

function judge(found: ReadonlyMap<string, ReadonlySet<string>>): FenceState {
  let isSomewhere = false
  let isEverywhere = true
  for (const table of tables) {
    const days = found.get(table) ?? new Set()
    // A table in which the group has no rows tells nothing.
    for (const day of found.get(table === 'samples' ? 'sampled' : 'place') ?? []) {
      if (days.has(day)) isSomewhere = true
      else isEverywhere = false
    }
  }
  if (!isSomewhere) return 'clear'
  return isEverywhere ? 'fenced' : 'torn'
}
