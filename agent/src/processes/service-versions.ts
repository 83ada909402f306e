import type { NativeProcess, NativeProcessFiles } from '../bpf/native.ts'
import { parseCgroup } from './cgroup.ts'
import { isLauncher, serviceName } from './labels.ts'
import type { ReadProcessStat } from './process-stat.ts'
import { type FoundVersion, findServiceVersion, type NoVersion } from './service-version.ts'

interface Entry {
  process: NativeProcess
  /** Group of processes that are one instance of a service; '' for one that stands alone. */
  instance: string
  found: FoundVersion
  seenWindow: number
}

export interface ServiceVersionsOptions {
  files: NativeProcessFiles
  readStat: ReadProcessStat
  /** Processes looked at in one window; the rest wait for the next. */
  maxLookups: number
  maxLookupMs: number
  /** Called once for each process that has no version. */
  onNone: (reason: NoVersion) => void
  /** Monotonic, in milliseconds. */
  now: () => number
}

const keepWindows = 30

/**
 * The version of each process. In a container or a systemd unit it belongs to the service instance, not to
 * the process: it is that of the main process, the oldest that is alive and no shell or init shim.
 * Limitation: a main process that burns no CPU is never sampled; then the oldest sampled one stands for it.
 */
export class ServiceVersions {
  readonly #options: ServiceVersionsOptions
  readonly #entries = new Map<string, Entry>()
  #mains = new Map<string, Entry>()
  #window = 0

  constructor(options: ServiceVersionsOptions) {
    this.#options = options
  }

  /** Reads what is new; call for every window before versionOf. Takes at most maxLookupMs and one read. */
  async learn(processes: readonly NativeProcess[]): Promise<void> {
    const { files, readStat, maxLookups, maxLookupMs, onNone, now } = this.#options
    this.#window++
    const endMs = now() + maxLookupMs
    let lookups = 0
    for (const process of processes) {
      const key = imageKey(process)
      const known = this.#entries.get(key)
      if (known) known.seenWindow = this.#window
      else if (lookups < maxLookups && now() < endMs) {
        lookups++
        const found = await findServiceVersion(process, files)
        if (found.reason) onNone(found.reason)
        const instance = instanceKey(process)
        this.#entries.set(key, { process, instance, found, seenWindow: this.#window })
      }
    }
    this.#mains = new Map()
    for (const [key, entry] of this.#entries) {
      const { process, instance } = entry
      const stat = readStat(process.pid)
      const isGone = stat === 'gone' || (stat !== 'hidden' && !isSameStart(stat.startBoottime, process))
      const isOld = entry.seenWindow + keepWindows < this.#window
      if (isOld || (isGone && entry.seenWindow < this.#window)) this.#entries.delete(key)
      else if (!isGone && instance && !isLauncher(process)) {
        const main = this.#mains.get(instance)
        if (!main || process.startBoottime < main.process.startBoottime) this.#mains.set(instance, entry)
      }
    }
  }

  /** '' when there is none, or it was not looked for yet. */
  versionOf(process: NativeProcess): string {
    const own = this.#entries.get(imageKey(process))
    const main = own && this.#mains.get(own.instance)
    return (main ?? own)?.found.version ?? ''
  }
}

function isSameStart(startBoottime: bigint, process: NativeProcess): boolean {
  const apart = startBoottime - process.startBoottime
  return apart <= 20_000_000n && apart >= -20_000_000n
}

function imageKey({ pid, startBoottime, exe, cmdline }: NativeProcess): string {
  return [pid, startBoottime, exe, ...cmdline].join('\0')
}

function instanceKey(process: NativeProcess): string {
  const { unit, containerId } = parseCgroup(process.cgroup)
  return unit || containerId ? `${containerId || unit}\0${serviceName(process, false)}` : ''
}
