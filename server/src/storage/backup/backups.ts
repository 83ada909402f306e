import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError, toCodedError } from '../../errors.ts'
import { type BackupOptions, createBackup } from './create-backup.ts'
import { readManifest } from './manifest.ts'

export interface BackupState {
  name: string
  folder: string
  state: 'running' | 'done' | 'failed'
  /** RFC 3339; '' when the backup cannot be read. */
  createdAt: string
  files: number
  /** Copied so far while it runs. */
  bytes: number
  /** Why it failed, or cannot be read; '' else. */
  reason: string
}

export interface BackupsOptions extends Pick<BackupOptions, 'client' | 'hold' | 'version'> {
  /** Folder of all backups. */
  folder: string
  now: () => number
  /** Whether the engine's files are on this machine. */
  isLocal: boolean
  onEnd: (outcome: 'done' | 'failed', state: BackupState) => void
}

/** Backups of this server's folder: one is made at a time, and outlives the request that asked for it. */
export class Backups {
  readonly #options: BackupsOptions
  #last: BackupState | null = null
  #running: Promise<void> = Promise.resolve()

  constructor(options: BackupsOptions) {
    this.#options = options
  }

  /** name: '' for one made of the time. Throws BAD_REQUEST, BACKUP_BUSY while another is made. */
  start(name: string): BackupState {
    const { folder, now, isLocal, onEnd } = this.#options
    if (!isLocal)
      throw new CodedError(
        'BAD_REQUEST',
        'profiles are in a ClickHouse server of your own (STROBE_CLICKHOUSE_URL): back up its database by its own means, BACKUP DATABASE',
      )
    const chosen = name || new Date(now()).toISOString().slice(0, 19).replaceAll(':', '-')
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(chosen) || chosen.endsWith('.partial'))
      throw new CodedError(
        'BAD_REQUEST',
        `"${chosen.slice(0, 120)}" is no name of a backup; it takes up to 100 letters, digits, ., - and _ and becomes a folder in ${folder} (STROBE_BACKUPS)`,
      )
    if (this.#last?.state === 'running')
      throw new CodedError('BACKUP_BUSY', `the backup ${this.#last.name} is being made; come again later`, {
        retryAfterMs: 10_000,
      })
    const state: BackupState = {
      name: chosen,
      folder: join(folder, chosen),
      state: 'running',
      createdAt: new Date(now()).toISOString(),
      files: 0,
      bytes: 0,
      reason: '',
    }
    this.#last = state
    this.#running = createBackup({
      ...this.#options,
      folder: state.folder,
      nowMs: now(),
      onProgress: bytes => {
        state.bytes = bytes
      },
    }).then(
      summary => {
        Object.assign(state, { state: 'done', files: summary.files, bytes: summary.bytes })
        onEnd('done', state)
      },
      (error: unknown) => {
        const { code, message } = toCodedError(error)
        Object.assign(state, { state: 'failed', reason: `${code}: ${message}` })
        onEnd('failed', state)
      },
    )
    return state
  }

  /** Those in the folder, and the one that is being made or failed last; by name. */
  async list(): Promise<BackupState[]> {
    const { folder } = this.#options
    const names = await readdir(folder).catch(() => [] as string[])
    const found: BackupState[] = []
    for (const name of names) {
      if (name.endsWith('.partial') || name === this.#last?.name) continue
      found.push(await describeBackup(name, join(folder, name)))
    }
    if (this.#last) found.push({ ...this.#last })
    return found.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Waits for the one that is being made. */
  stop(): Promise<void> {
    return this.#running
  }
}

async function describeBackup(name: string, folder: string): Promise<BackupState> {
  try {
    const { createdAt, tables } = await readManifest(folder)
    const files = tables.flatMap(table => table.files)
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    return { name, folder, state: 'done', createdAt, files: files.length, bytes, reason: '' }
  } catch (error) {
    const reason = toCodedError(error).message
    return { name, folder, state: 'failed', createdAt: '', files: 0, bytes: 0, reason }
  }
}
