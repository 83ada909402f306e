import { randomBytes } from 'node:crypto'
import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CodedError } from '../../errors.ts'
import type { StoreClient } from '../client.ts'
import { migrate, migrations, writeMeta } from '../migrate.ts'
import type { Manifest } from './manifest.ts'

/**
 * Fills an empty store from a backup whose files were verified, then brings the schema up to date. The store is
 * another one afterwards: writers that remember what they stored in the old one are told by the new epoch.
 *
 * Throws STORE_TOO_NEW, STORE_NOT_EMPTY, BACKUP_DAMAGED when the engine counts other rows than were saved.
 */
export async function restoreBackup(
  client: StoreClient,
  folder: string,
  manifest: Manifest,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const unknown = manifest.migrations.filter(name => !migrations.some(migration => migration.name === name))
  if (unknown.length > 0)
    throw new CodedError(
      'STORE_TOO_NEW',
      `the backup was made by version ${manifest.version} with ${unknown.join(', ')}, which this program does not know; restore it with that version or a later one`,
      { unknown },
    )
  await checkEmpty(client)
  await migrate(
    client,
    migrations.filter(({ name }) => manifest.migrations.includes(name)),
  )
  const paths = await selectPaths(client)
  const total = manifest.tables.reduce(
    (sum, { files }) => sum + files.reduce((bytes, file) => bytes + file.bytes, 0),
    0,
  )
  let done = 0
  for (const { name, rows, files } of manifest.tables) {
    const path = paths.get(name)
    if (path === undefined)
      throw new CodedError(
        'BACKUP_DAMAGED',
        `the backup has a table ${name} that its migrations do not make`,
        {
          table: name,
        },
      )
    // What migrate wrote into its own tables is in the backup too.
    await client.command({ query: `TRUNCATE TABLE ${name}` })
    const parts = new Set<string>()
    for (const file of files) {
      const target = join(path, 'detached', file.path.slice(name.length + 1))
      await mkdir(dirname(target), { recursive: true })
      await copyFile(join(folder, file.path), target)
      parts.add(file.path.split('/')[1]!)
      done += file.bytes
      onProgress(done, total)
    }
    for (const part of parts)
      await client.command({ query: `ALTER TABLE ${name} ATTACH PART '${part.replaceAll("'", '')}'` })
    const counted = await countRows(client, name)
    if (counted !== rows)
      throw new CodedError('BACKUP_DAMAGED', `${name} has ${counted} rows, ${rows} were saved`, {
        table: name,
        rows: counted,
        saved: rows,
      })
  }
  await writeMeta(client, 'store_epoch', randomBytes(8).toString('hex'))
  await migrate(client)
}

async function checkEmpty(client: StoreClient): Promise<void> {
  const result = await client.query({
    query:
      "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name",
    format: 'JSONEachRow',
  })
  const tables = await result.json<{ name: string; total_rows: number }>()
  if (tables.length > 0)
    throw new CodedError(
      'STORE_NOT_EMPTY',
      `the store has tables already (${tables.length}, such as ${tables[0]!.name}); restore into an empty data folder`,
      { tables: tables.length },
    )
}

async function selectPaths(client: StoreClient): Promise<Map<string, string>> {
  const result = await client.query({
    query:
      "SELECT name, data_paths[1] AS path FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'",
    format: 'JSONEachRow',
  })
  return new Map((await result.json<{ name: string; path: string }>()).map(({ name, path }) => [name, path]))
}

async function countRows(client: StoreClient, table: string): Promise<number> {
  const result = await client.query({ query: `SELECT count() AS n FROM ${table}`, format: 'JSONEachRow' })
  return Number((await result.json<{ n: string }>())[0]!.n)
}
