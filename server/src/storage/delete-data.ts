import { randomBytes } from 'node:crypto'
import type { StoreClient } from './client.ts'
import { levelNames } from './levels/level.ts'
import { writeMeta } from './migrate.ts'

const tables = [
  'samples',
  'profiles',
  'totals_1m',
  'series',
  'stacks',
  'frames',
  'functions',
  'labelsets',
  'sample_labels',
  'batches',
  'agents',
  'totals_10m',
  ...levelNames,
  // The state goes last: rows that it does not name count for nothing.
  'level_state',
]

/** Empties the store while nothing is summed into levels; the new epoch tells writers that nothing they remember as stored is there any more. */
export async function deleteAllData(client: StoreClient): Promise<void> {
  for (const table of tables) await client.command({ query: `TRUNCATE TABLE ${table}` })
  await renewEpoch(client)
}

/** Tells writers that what they remember as stored may be gone. */
export async function renewEpoch(client: StoreClient): Promise<void> {
  await writeMeta(client, 'store_epoch', randomBytes(8).toString('hex'))
}
