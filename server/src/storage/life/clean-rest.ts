import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoreClient } from '../client.ts'

/** Hosts that sent no heartbeat for so long are forgotten. Returns how many rows went. */
export async function cleanAgents(client: StoreClient, nowMs: number, keepMs: number): Promise<number> {
  const query_params = { before: Math.floor((nowMs - keepMs) / 1000) }
  const condition = 'last_seen < toDateTime64({before:UInt32}, 3)'
  const result = await client.query({
    query: `SELECT toFloat64(count()) AS n FROM agents WHERE ${condition}`,
    query_params,
    format: 'JSONEachRow',
  })
  const rows = (await result.json<{ n: number }>())[0]?.n ?? 0
  if (rows > 0)
    await client.command({
      query: `ALTER TABLE agents DELETE WHERE ${condition} SETTINGS mutations_sync = 1`,
      query_params,
    })
  return rows
}

/** Groups that the store refused are kept for a person to look at, for so long. Returns the files that went. */
export async function cleanRefused(journalFolder: string, nowMs: number, keepMs: number): Promise<string[]> {
  const folder = join(journalFolder, 'refused')
  const removed: string[] = []
  for (const name of await readdir(folder).catch(() => [] as string[])) {
    const path = join(folder, name)
    if ((await stat(path)).mtimeMs >= nowMs - keepMs) continue
    await rm(path, { force: true })
    removed.push(path)
  }
  return removed
}
