import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError } from '../../errors.ts'

export const manifestFile = 'strobe-backup.json'
const format = 1

export interface BackupFile {
  /** TABLE/PART/FILE below the backup's folder. */
  path: string
  bytes: number
  /** Hex. */
  sha256: string
}

export interface BackupTable {
  name: string
  rows: number
  files: BackupFile[]
}

/** What a backup holds. The last file written: a folder without it is no backup. */
export interface Manifest {
  format: number
  /** Version of Strobe that wrote it. */
  version: string
  /** RFC 3339. */
  createdAt: string
  migrations: string[]
  identityRule: string
  tables: BackupTable[]
  /** Of the manifest without this field, hex. */
  sha256: string
}

/** Text of the manifest, with the checksum over itself. */
export function formatManifest(manifest: Omit<Manifest, 'format' | 'sha256'>): string {
  const body = { format, ...manifest }
  return `${JSON.stringify({ ...body, sha256: checksumOf(body) })}\n`
}

function checksumOf(body: object): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex')
}

/** Throws BACKUP_DAMAGED when there is none or it is not whole, STORE_TOO_NEW for a later format. */
export async function readManifest(folder: string): Promise<Manifest> {
  const damaged = (why: string) =>
    new CodedError('BACKUP_DAMAGED', `${join(folder, manifestFile)}: ${why}; use another backup`, {
      file: manifestFile,
    })
  let manifest: Manifest
  try {
    manifest = JSON.parse(await readFile(join(folder, manifestFile), 'utf8')) as Manifest
  } catch (cause) {
    throw damaged(`it cannot be read (${(cause as Error).message})`)
  }
  if (typeof manifest?.format !== 'number') throw damaged('it is not a manifest of a backup')
  if (manifest.format !== format)
    throw new CodedError(
      'STORE_TOO_NEW',
      `the backup has format ${manifest.format}, this program reads ${format}; use the version that wrote it (${manifest.version})`,
      { format: manifest.format },
    )
  const { sha256, ...body } = manifest
  if (sha256 !== checksumOf(body)) throw damaged('its checksum is another')
  for (const { name, files } of manifest.tables) {
    if (!/^[a-z0-9_]+$/.test(name)) throw damaged(`"${name}" is no name of a table`)
    for (const { path } of files)
      if (!path.startsWith(`${name}/`) || path.split('/').includes('..'))
        throw damaged(`"${path}" is no file of ${name}`)
  }
  return manifest
}

/**
 * Reads every file of a backup. onProgress: bytes read so far, of all.
 * Throws BACKUP_DAMAGED with the names of the files that are missing or not as they were written.
 */
export async function verifyBackup(
  folder: string,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Manifest> {
  const manifest = await readManifest(folder)
  const files = manifest.tables.flatMap(table => table.files)
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  const damaged: string[] = []
  let done = 0
  for (const file of files) {
    const isWhole = await isAsWritten(join(folder, file.path), file).catch(() => false)
    if (!isWhole) damaged.push(file.path)
    done += file.bytes
    onProgress(done, total)
  }
  if (damaged.length > 0) {
    throw new CodedError(
      'BACKUP_DAMAGED',
      `${damaged.length} of ${files.length} files in ${folder} are missing or damaged: ${damaged.slice(0, 20).join(', ')}; use another backup`,
      { files: damaged.slice(0, 100), damaged: damaged.length },
    )
  }
  return manifest
}

async function isAsWritten(path: string, file: BackupFile): Promise<boolean> {
  if ((await stat(path)).size !== file.bytes) return false
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex') === file.sha256
}
