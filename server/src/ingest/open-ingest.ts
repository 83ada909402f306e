import { join } from 'node:path'
import type { EngineAddress } from '../engine/settings.ts'
import type { ServerMetrics } from '../metrics.ts'
import { createStoreClient, type StoreClient } from '../storage/client.ts'
import { Journal } from '../storage/journal.ts'
import { migrate } from '../storage/migrate.ts'
import type { StorageSettings } from '../storage/settings.ts'
import { Store, type StoreLog, type StoreOptions } from '../storage/store.ts'
import { writeAgents } from '../storage/write-agents.ts'
import { createIngest, type Ingest } from './pipeline.ts'
import type { IngestSettings } from './settings.ts'

export interface OpenIngestOptions {
  address: EngineAddress
  /** The journal goes into `journal` below it. */
  dataDir: string
  ingest: IngestSettings
  storage: StorageSettings
  metrics: ServerMetrics
  log: StoreLog
  now?: () => number
  onStep?: StoreOptions['onStep']
}

export interface OpenIngest {
  ingest: Ingest
  client: StoreClient
  /** Stores what waits, then lets go of the store. */
  close(graceMs?: number): Promise<void>
}

/**
 * Brings the schema up to date, replays the journal and opens the way in.
 * Throws STORE_IDENTITY_MISMATCH, or what the store answers to the schema.
 */
export async function openIngest(options: OpenIngestOptions): Promise<OpenIngest> {
  const { metrics, storage, log } = options
  const client = createStoreClient(options.address, { requestTimeoutMs: storage.requestTimeoutMs })
  const now = options.now ?? Date.now
  const store = new Store({
    client,
    journal: new Journal(join(options.dataDir, 'journal')),
    settings: storage,
    log,
    now,
    metrics: {
      insertedRows: (table, rows) => metrics.insertedRows.inc({ table }, rows),
      insertRetried: reason => metrics.insertRetries.inc({ reason }),
      groupReplayed: outcome => metrics.replayedGroups.inc({ outcome }),
      insertSeconds: seconds => metrics.insertSeconds.observe(seconds),
    },
    ...(options.onStep ? { onStep: options.onStep } : {}),
  })
  try {
    await migrate(client)
    await store.replay()
  } catch (error) {
    await client.close()
    throw error
  }
  const ingest = createIngest({
    store,
    writeAgents: (tenant, agents) => writeAgents(client, tenant, agents),
    settings: options.ingest,
    metrics,
    now,
  })
  return {
    ingest,
    client,
    async close(graceMs = 10_000) {
      await ingest.stop(graceMs)
      await client.close()
    },
  }
}
