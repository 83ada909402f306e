import { rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const fileName = 'reserve'
const reserveBytes = 2 ** 20

/**
 * A start on a full disk has small files to write: settings of the engine, its lock, the local token. This gives them
 * the room that was set aside for them. Before the engine starts.
 */
export async function releaseReserve(dataDir: string): Promise<void> {
  if ((await freeBytes(dataDir)) < reserveBytes) await rm(join(dataDir, fileName), { force: true })
}

/** Sets the room aside while there is plenty. */
export async function keepReserve(dataDir: string): Promise<void> {
  const path = join(dataDir, fileName)
  const { size } = await stat(path).catch(() => ({ size: 0 }))
  if (size === reserveBytes || (await freeBytes(dataDir)) < 16 * reserveBytes) return
  await writeFile(path, Buffer.alloc(reserveBytes), { mode: 0o600 })
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
