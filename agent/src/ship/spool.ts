import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError } from '../errors.ts'

export interface SpoolEntry {
  /** File name: place in the queue and batch id. */
  name: string
  bytes: number
}

const batchName = /^\d{16}-[0-9a-f]{32}\.batch$/

/**
 * Batches on disk until the server has them, oldest first.
 *
 * A file appears whole or not at all: written under another name, synced, renamed, folder synced. Names
 * count up from the highest found, so the order survives restarts and clock steps.
 *
 *   0000000000000007-<batch id>.batch    bytes of one strobe.v1.WriteRequest
 *   0000000000000008-<batch id>.tmp      left by a crash, removed at the next start
 */
export class Spool {
  readonly #folder: string
  readonly #maxBytes: number
  readonly #onDrop: (entry: SpoolEntry) => void
  readonly #entries: SpoolEntry[] = []
  #bytes = 0
  #next = 1
  /** The entry being sent: dropping it would not stop it from arriving. */
  #pinned = ''

  private constructor(folder: string, maxBytes: number, onDrop: (entry: SpoolEntry) => void) {
    this.#folder = folder
    this.#maxBytes = maxBytes
    this.#onDrop = onDrop
  }

  /**
   * onDrop: called for each batch given up because the spool was full.
   * Throws SPOOL_UNUSABLE when the folder cannot be made or listed.
   */
  static async open(folder: string, maxBytes: number, onDrop: (entry: SpoolEntry) => void): Promise<Spool> {
    const spool = new Spool(folder, maxBytes, onDrop)
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      for (const name of (await readdir(folder)).sort()) {
        if (name.endsWith('.tmp')) await rm(join(folder, name), { force: true })
        if (!batchName.test(name)) continue
        const { size } = await stat(join(folder, name))
        spool.#entries.push({ name, bytes: size })
        spool.#bytes += size
        spool.#next = Number(name.slice(0, 16)) + 1
      }
    } catch (error) {
      throw new AgentError(
        'SPOOL_UNUSABLE',
        `the folder ${folder} for batches that wait for the server cannot be used (${(error as Error).message}); name another with --spool-dir or STROBE_SPOOL_DIR`,
        error,
      )
    }
    await spool.#makeRoom(0)
    return spool
  }

  get bytes(): number {
    return this.#bytes
  }

  get length(): number {
    return this.#entries.length
  }

  /** The batch is durable when this resolves. batchId: 16 bytes. */
  async put(batchId: Uint8Array, batch: Uint8Array): Promise<void> {
    await this.#makeRoom(batch.length)
    const stem = `${String(this.#next++).padStart(16, '0')}-${Buffer.from(batchId).toString('hex')}`
    const temporary = join(this.#folder, `${stem}.tmp`)
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(batch)
      await file.sync()
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    } finally {
      await file.close()
    }
    await rename(temporary, join(this.#folder, `${stem}.batch`))
    await this.#syncFolder()
    this.#entries.push({ name: `${stem}.batch`, bytes: batch.length })
    this.#bytes += batch.length
  }

  /** The oldest batch, kept until `remove`; null when there is none or it cannot be read. */
  async first(): Promise<{ entry: SpoolEntry; batch: Uint8Array | null } | null> {
    const entry = this.#entries[0]
    if (!entry) return null
    this.#pinned = entry.name
    try {
      return { entry, batch: await readFile(join(this.#folder, entry.name)) }
    } catch {
      return { entry, batch: null }
    }
  }

  async remove(entry: SpoolEntry): Promise<void> {
    const index = this.#entries.indexOf(entry)
    if (index >= 0) {
      this.#entries.splice(index, 1)
      this.#bytes -= entry.bytes
    }
    if (this.#pinned === entry.name) this.#pinned = ''
    await rm(join(this.#folder, entry.name), { force: true })
  }

  async #makeRoom(bytes: number): Promise<void> {
    while (this.#bytes + bytes > this.#maxBytes) {
      const oldest = this.#entries.find(entry => entry.name !== this.#pinned)
      if (!oldest) return
      await this.remove(oldest)
      this.#onDrop(oldest)
    }
  }

  // The rename itself is durable only once the folder is.
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  }
}
