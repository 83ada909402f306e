import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultEngineSettings } from './engine/settings.ts'
import { type EngineLog, startEngine } from './engine/supervisor.ts'
import { CodedError } from './errors.ts'
import { type Manifest, verifyBackup } from './storage/backup/manifest.ts'
import { restoreBackup } from './storage/backup/restore-backup.ts'
import { createStoreClient } from './storage/client.ts'

export { verifyBackup }

export interface RestoreOptions {
  /** Folder of the backup. */
  backup: string
  /** Data folder of the server that will serve it; must hold no store. */
  dataDir: string
  log: EngineLog
  onProgress?: (step: 'verify' | 'restore', done: number, total: number) => void
}

/**
 * Makes the data folder of a server from a backup, without a server. The folder has a store when all of it is
 * there, and none when anything failed or the process was killed.
 * Throws BACKUP_DAMAGED, STORE_NOT_EMPTY, STORE_TOO_NEW, ENGINE_*.
 */
export async function restoreDataFolder(options: RestoreOptions): Promise<Manifest> {
  const { backup, dataDir, log, onProgress = () => {} } = options
  await checkNoStore(dataDir)
  const manifest = await verifyBackup(backup, (done, total) => onProgress('verify', done, total))
  const target = join(dataDir, 'engine')
  const partial = join(dataDir, 'engine.restoring')
  await rm(partial, { recursive: true, force: true })
  try {
    const engine = await startEngine(defaultEngineSettings(partial), log)
    try {
      const client = createStoreClient(engine.address, { requestTimeoutMs: 600_000 })
      try {
        await restoreBackup(client, backup, manifest, (done, total) => onProgress('restore', done, total))
      } finally {
        await client.close()
      }
    } finally {
      await engine.stop()
    }
    // Links of the engine to its own tables, by whole paths; it makes them again.
    await rm(join(partial, 'store', 'data'), { recursive: true, force: true })
    await rm(target, { recursive: true, force: true })
    await rename(partial, target)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw error
  }
  return manifest
}

async function checkNoStore(dataDir: string): Promise<void> {
  const inside = async (folder: string) =>
    (await readdir(join(dataDir, folder)).catch(() => [] as string[])).length
  for (const [folder, what] of [
    ['engine', 'a store'],
    ['journal', 'profiles on their way into a store'],
  ] as const) {
    if ((await inside(folder)) > 0)
      throw new CodedError(
        'STORE_NOT_EMPTY',
        `${dataDir} holds ${what} already (${folder}); name another folder with --data, or move that one away`,
        { folder: join(dataDir, folder) },
      )
  }
}
