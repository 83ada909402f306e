import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { AgentMetrics } from '../metrics.ts'

export interface DebuginfodOptions {
  /** Base URLs, asked in this order. */
  urls: readonly string[]
  /** FOLDER/BUILDID/debuginfo, the layout of debuginfod's own client. */
  folder: string
  maxFileBytes: number
  /** Of all files; those fetched longest ago go first. */
  maxFolderBytes: number
  /** For one file, from the first byte asked to the last one read. */
  timeoutMs: number
  metrics: AgentMetrics
  now: () => number
}

const maxQueued = 256
const maxRefused = 10_000
const retryMs = 3_600_000
const buildIdPattern = /^[0-9a-f]{4,128}$/
const elfMagic = Buffer.from('\x7fELF', 'latin1')

/**
 * Fetches debug files by build id from servers that speak debuginfod's protocol, one at a time, into a folder.
 *
 * Whoever is asked learns what runs here: it is off unless urls are given. An answer is a foreign file like any
 * other: only its first bytes are looked at here, its build id is checked where it is read.
 */
export class Debuginfod {
  readonly #options: DebuginfodOptions
  readonly #queue: string[] = []
  /** Build ids that no server had, with the time until which they are not asked for again. */
  readonly #refused = new Map<string, number>()
  readonly #stop = new AbortController()
  #arrived: string[] = []
  #running: Promise<void> | null = null

  constructor(options: DebuginfodOptions) {
    this.#options = options
  }

  /** Asks for the debug file of a build id, in the background. */
  request(buildId: string): void {
    const { metrics, now } = this.#options
    if (this.#stop.signal.aborted || !buildIdPattern.test(buildId)) return
    if (now() < (this.#refused.get(buildId) ?? 0) || this.#queue.includes(buildId)) return
    if (this.#queue.length >= maxQueued) metrics.add('debug_files_dropped')
    else this.#queue.push(buildId)
    this.#running ??= this.#work().finally(() => {
      this.#running = null
    })
  }

  /** Build ids whose files came since the last call. */
  takeArrived(): string[] {
    const arrived = this.#arrived
    this.#arrived = []
    return arrived
  }

  /** Resolves when nothing is asked for any more. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#queue.length = 0
    await this.idle()
  }

  async #work(): Promise<void> {
    for (let buildId = this.#queue.shift(); buildId !== undefined; buildId = this.#queue.shift()) {
      if (await this.#fetch(buildId)) this.#arrived.push(buildId)
      else if (this.#refused.size < maxRefused) this.#refused.set(buildId, this.#options.now() + retryMs)
    }
  }

  async #fetch(buildId: string): Promise<boolean> {
    const { urls, folder, metrics } = this.#options
    const target = join(folder, buildId, 'debuginfo')
    // An earlier run fetched it, and the file was found in the folder, without DWARF.
    if (await stat(target).catch(() => null)) return false
    for (const url of urls) {
      const temporary = join(folder, `${buildId}.${process.pid}.tmp`)
      try {
        if (!(await this.#download(`${url.replace(/\/+$/, '')}/buildid/${buildId}/debuginfo`, temporary)))
          continue
        await mkdir(join(folder, buildId), { recursive: true })
        await rename(temporary, target)
        metrics.add('debug_files_fetched')
        await this.#trim(buildId)
        return true
      } catch {
        metrics.add('debug_files_failed')
      } finally {
        await rm(temporary, { force: true }).catch(() => {})
      }
    }
    metrics.add('debug_files_missing')
    return false
  }

  /** False: the server has no such file. Throws when it cannot be had. */
  async #download(url: string, path: string): Promise<boolean> {
    const { maxFileBytes, timeoutMs, folder } = this.#options
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)])
    const response = await fetch(url, { signal })
    if (response.status === 404 || !response.body) {
      await response.body?.cancel()
      return false
    }
    if (!response.ok) {
      await response.body.cancel()
      throw new Error(`status ${response.status}`)
    }
    await mkdir(folder, { recursive: true })
    let bytes = 0
    const bound = new Transform({
      transform(chunk: Buffer, _, done) {
        bytes += chunk.length
        done(bytes > maxFileBytes ? new Error(`more than ${maxFileBytes} bytes`) : null, chunk)
      },
    })
    await pipeline(Readable.fromWeb(response.body), bound, createWriteStream(path, { mode: 0o600 }), {
      signal,
    })
    if (!(await startsAsElf(path))) throw new Error('no ELF file')
    return true
  }

  /** Keeps the folder within its bytes; the newest file stays. */
  async #trim(newest: string): Promise<void> {
    const { folder, maxFolderBytes, metrics } = this.#options
    const files: { name: string; bytes: number; changedMs: number }[] = []
    for (const name of await readdir(folder)) {
      if (!buildIdPattern.test(name)) continue
      const status = await stat(join(folder, name, 'debuginfo')).catch(() => null)
      if (status) files.push({ name, bytes: status.size, changedMs: status.mtimeMs })
    }
    files.sort((a, b) => a.changedMs - b.changedMs)
    let total = files.reduce((sum, file) => sum + file.bytes, 0)
    for (const file of files) {
      if (total <= maxFolderBytes || file.name === newest) continue
      await rm(join(folder, file.name), { recursive: true, force: true })
      metrics.add('debug_files_evicted')
      total -= file.bytes
    }
  }
}

async function startsAsElf(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return bytesRead === 4 && buffer.equals(elfMagic)
  } finally {
    await file.close()
  }
}
