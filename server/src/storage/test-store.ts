/** A store of its own for a test file: the embedded engine in a folder that goes with it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultEngineSettings } from '../engine/settings.ts'
import { startEngine } from '../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from './client.ts'
import { migrate } from './migrate.ts'

export interface TestStore {
  client: StoreClient
  /** Rows as arrays. */
  select(query: string, params?: Record<string, string>): Promise<unknown[]>
  stop(): Promise<void>
}

/** With the whole schema. */
export async function startTestStore(): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-store-'))
  const log = { info() {}, warn() {}, error() {} }
  const engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), log)
  const client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
  return {
    client,
    select: async (query, params = {}) =>
      (await client.query({ query, query_params: params, format: 'JSONCompactEachRow' })).json(),
    async stop() {
      await client.close()
      await engine.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
