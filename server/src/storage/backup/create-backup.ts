import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError } from '../../errors.ts'
import type { StoreClient } from '../client.ts'
import { storeTables } from '../life/tables.ts'
import { readMeta, readMigrations } from '../migrate.ts'
import { type BackupFile, type BackupTable, formatManifest, manifestFile } from './manifest.ts'

export interface BackupOptions {
  client: StoreClient
  /** Runs work while no group of this server is on its way. */
  hold<T>(work: () => Promise<T>): Promise<T>
  /** Folder of the backup; must not be there yet. */
  folder: string
  version: string
  nowMs: number
  /** Bytes copied so far. */
  onProgress?: (bytes: number) => void
  /** How often, and with what pause, a moment is looked for in which no other server writes. */
  tries?: number
  pauseMs?: number
}

export interface BackupSummary {
  folder: string
  tables: { name: string; rows: number; bytes: number }[]
  files: number
  bytes: number
}

interface TableFolder {
  name: string
  path: string
}

/**
 * Copies the store as it was at one moment. The moment is a freeze of all tables (hard links, no copy) while
 * nothing is written; the copy is made of the frozen parts while everything goes on.
 *
 * Throws BACKUP_EXISTS, BACKUP_BUSY when other servers left no moment between two groups, BACKUP_FAILED when
 * the folder cannot be written; nothing of it stays then.
 */
export async function createBackup(options: BackupOptions): Promise<BackupSummary> {
  const { client, folder } = options
  const partial = `${folder}.partial`
  // The engine escapes other characters in the folder's name.
  const freeze = `strobe${randomBytes(6).toString('hex')}`
  const disk = await selectDiskPath(client)
  const tables = await selectTableFolders(client)
  await makeFolder(folder, partial)
  const unfreeze = async () => {
    for (const { name } of tables)
      await client.command({ query: `ALTER TABLE ${name} UNFREEZE WITH NAME '${freeze}'` }).catch(() => {})
    await rm(join(disk, 'shadow', freeze), { recursive: true, force: true })
  }
  try {
    const { migrations, filled } = await freezeAll(options, tables, freeze)
    const copied: BackupTable[] = []
    let done = 0
    for (const table of tables) {
      const frozen = join(disk, 'shadow', freeze, relative(disk, table.path))
      const copy = await copyTable(table.name, frozen, partial, bytes => {
        done += bytes
        options.onProgress?.(done)
      })
      if (copy.files.length === 0 && filled.has(table.name))
        throw new Error(`the engine froze nothing of ${table.name} in ${frozen}`)
      copied.push(copy)
    }
    await writeDurable(
      join(partial, manifestFile),
      formatManifest({
        version: options.version,
        createdAt: new Date(options.nowMs).toISOString(),
        migrations,
        identityRule: (await readMeta(client, 'identity_rule_version')) ?? '',
        tables: copied,
      }),
    )
    await rename(partial, folder)
    await syncFolder(dirname(folder))
    const sizes = copied.map(({ name, rows, files }) => ({
      name,
      rows,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    }))
    return {
      folder,
      tables: sizes,
      files: copied.reduce((sum, { files }) => sum + files.length, 0),
      bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    if (error instanceof CodedError) throw error
    throw new CodedError(
      'BACKUP_FAILED',
      `the backup could not be written to ${folder}: ${(error as Error).message}`,
      { folder },
      { cause: error },
    )
  } finally {
    await unfreeze()
  }
}

/** Removes what a backup left that was killed: frozen parts keep their room, and half a copy. */
export async function cleanBackups(client: StoreClient, folder: string): Promise<void> {
  const shadow = join(await selectDiskPath(client), 'shadow')
  for (const [parent, pattern] of [
    [shadow, /^strobe[0-9a-f]{12}$/],
    [folder, /\.partial$/],
  ] as const)
    for (const name of await readdir(parent).catch(() => [] as string[]))
      if (pattern.test(name)) await rm(join(parent, name), { recursive: true, force: true })
}

async function makeFolder(folder: string, partial: string): Promise<void> {
  if ((await readdir(folder).catch(() => null)) !== null)
    throw new CodedError('BACKUP_EXISTS', `${folder} is there already; choose another name or remove it`, {
      folder,
    })
  await rm(partial, { recursive: true, force: true })
  try {
    await mkdir(partial, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new CodedError(
      'BACKUP_FAILED',
      `the folder ${folder} cannot be made: ${(cause as Error).message}`,
      { folder },
      { cause },
    )
  }
}

async function selectTableFolders(client: StoreClient): Promise<TableFolder[]> {
  const result = await client.query({
    query: `SELECT name, data_paths[1] AS path FROM system.tables
      WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name`,
    format: 'JSONEachRow',
  })
  const found = await result.json<TableFolder>()
  return storeTables
    .filter(({ kind }) => kind !== 'running')
    .flatMap(({ name }) => found.find(table => table.name === name) ?? [])
}

async function selectDiskPath(client: StoreClient): Promise<string> {
  const result = await client.query({
    query: "SELECT path FROM system.disks WHERE name = 'default'",
    format: 'JSONEachRow',
  })
  return (await result.json<{ path: string }>())[0]!.path
}

/** Returns the migrations of that moment and the tables that had rows. */
async function freezeAll(
  options: BackupOptions,
  tables: TableFolder[],
  name: string,
): Promise<{ migrations: string[]; filled: Set<string> }> {
  const { client, hold, tries = 20, pauseMs = 500 } = options
  for (let attempt = 0; attempt < tries; attempt++) {
    const moment = await hold(async () => {
      const before = await selectQuietState(client)
      if (before === null) return null
      for (const table of tables)
        await client.command({ query: `ALTER TABLE ${table.name} FREEZE WITH NAME '${name}'` })
      const after = await selectQuietState(client)
      if (after !== before) return null
      return { migrations: await readMigrations(client), filled: await selectFilledTables(client) }
    })
    if (moment) return moment
    for (const table of tables)
      await client.command({ query: `ALTER TABLE ${table.name} UNFREEZE WITH NAME '${name}'` })
    await sleep(pauseMs)
  }
  throw new CodedError(
    'BACKUP_BUSY',
    `in ${tries} tries another server was always in the middle of a group; come again when less arrives, or stop the other servers for a moment`,
    { tries },
  )
}

async function selectFilledTables(client: StoreClient): Promise<Set<string>> {
  const result = await client.query({
    query:
      'SELECT DISTINCT table FROM system.parts WHERE active AND rows > 0 AND database = currentDatabase()',
    format: 'JSONEachRow',
  })
  return new Set((await result.json<{ table: string }>()).map(({ table }) => table))
}

/**
 * null while a batch is half stored: its rows stand and its line in the ledger does not. Else what was written so
 * far, as text; the same text twice means that nothing was written between.
 */
async function selectQuietState(client: StoreClient): Promise<string | null> {
  const result = await client.query({
    query: `SELECT
        (SELECT count() FROM system.processes WHERE query_kind = 'Insert') AS inserts,
        (SELECT count() FROM profiles WHERE received_at >= now64(3) - INTERVAL 1 HOUR) AS stored,
        (SELECT sum(profiles) FROM (SELECT tenant, batch_id, any(profiles) AS profiles FROM batches
          WHERE received_at >= now64(3) - INTERVAL 1 HOUR GROUP BY tenant, batch_id)) AS recorded,
        (SELECT toString(groupArray((table, block))) FROM (SELECT table, max(max_block_number) AS block FROM system.parts
          WHERE database = currentDatabase() AND table NOT IN ('agents', 'batch_claims', 'servers')
          GROUP BY table, partition_id ORDER BY table, partition_id)) AS blocks`,
    format: 'JSONEachRow',
  })
  const [row] = await result.json<{ inserts: number; stored: number; recorded: number; blocks: string }>()
  if (!row || Number(row.inserts) > 0 || Number(row.stored) !== Number(row.recorded)) return null
  return row.blocks
}

async function copyTable(
  name: string,
  frozen: string,
  target: string,
  onBytes: (bytes: number) => void,
): Promise<BackupTable> {
  const table: BackupTable = { name, rows: 0, files: [] }
  // A table without parts has no folder in the freeze.
  for (const part of (await readdir(frozen).catch(() => [] as string[])).sort()) {
    const from = join(frozen, part)
    table.rows += Number(await readFile(join(from, 'count.txt'), 'utf8'))
    for (const entry of (await readdir(from, { recursive: true, withFileTypes: true })).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      if (!entry.isFile()) continue
      const source = join(entry.parentPath, entry.name)
      const path = join(name, part, relative(from, source))
      await mkdir(dirname(join(target, path)), { recursive: true, mode: 0o700 })
      const file = await copyFile(source, join(target, path))
      table.files.push({ path, ...file })
      onBytes(file.bytes)
    }
  }
  return table
}

/** Returns after the copy is on the disk. */
async function copyFile(source: string, target: string): Promise<Omit<BackupFile, 'path'>> {
  const hash = createHash('sha256')
  let bytes = 0
  const file = await open(target, 'wx', 0o600)
  try {
    for await (const chunk of createReadStream(source) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      bytes += chunk.length
      await file.writeFile(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  return { bytes, sha256: hash.digest('hex') }
}

async function writeDurable(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
