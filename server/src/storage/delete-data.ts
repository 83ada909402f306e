import { randomBytes } from 'node:crypto'
import type { StoreClient } from './client.ts'
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
]

/** Empties the store; the new epoch tells writers that nothing they remember as stored is there any more. */
export async function deleteAllData(client: StoreClient): Promise<void> {
  for (const table of tables) await client.command({ query: `TRUNCATE TABLE ${table}` })
  await writeMeta(client, 'store_epoch', randomBytes(8).toString('hex'))
}
