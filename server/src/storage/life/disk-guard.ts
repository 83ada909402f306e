import { CodedError } from '../../errors.ts'
import type { StoreClient } from '../client.ts'
import { readMeta, writeMeta } from '../migrate.ts'
import { dropPartition, type Partition, selectPartitions } from './partitions.ts'
import { storeTables } from './tables.ts'
import { rowSeconds, type Windows, windowOf } from './windows.ts'

export interface DiskSettings {
  /** Below so much free space the oldest partitions go. */
  freeBytes: number
  /** Below so much nothing is taken any more. */
  refuseBytes: number
  /** Above so many bytes in the store the oldest partitions go too; 0: no limit. */
  storeBytes: number
}

/** A small disk must not be all reserve. */
const freeShare = 0.1
const refuseShare = 0.03
/** Freeing goes on a little past the mark, so that it does not begin again at once. */
const slack = 1.1
/** What is still being written to is never freed. */
const openMs = 26 * 3_600_000

const metaKey = 'freed_until'

export interface DiskSize {
  freeBytes: number
  totalBytes: number
}

export interface DiskState extends DiskSize {
  storeBytes: number
  state: 'ok' | 'freeing' | 'refusing'
  /** What is wrong and what helps; '' when nothing is. */
  reason: string
  /** By table: end of the newest rows that went to make room, unix s. */
  freedUntil: Readonly<Record<string, number>>
}

export interface DiskGuardOptions {
  client: StoreClient
  /** Of the disk that the store is on. */
  measure(): Promise<DiskSize>
  settings: DiskSettings
  windows: Windows
  now: () => number
  log: { warn(facts: object, message: string): void; error(facts: object, message: string): void }
  onFreed(partition: Partition): void
}

/** Frees the oldest data when the disk fills, and refuses writes before it is full. */
export class DiskGuard {
  readonly #options: DiskGuardOptions
  #state: DiskState = {
    freeBytes: 0,
    totalBytes: 0,
    storeBytes: 0,
    state: 'ok',
    reason: '',
    freedUntil: {},
  }
  #looking: Promise<void> | null = null
  #hasNothingLeft = false
  #isLoaded = false

  constructor(options: DiskGuardOptions) {
    this.#options = options
  }

  get state(): DiskState {
    return this.#state
  }

  /** Throws STORE_FULL while nothing is taken. */
  checkRoom(): void {
    const { state, reason, freeBytes, totalBytes } = this.#state
    if (state !== 'refusing') return
    throw new CodedError('STORE_FULL', reason, {
      observed: freeBytes,
      limit: refuseLimit(this.#options.settings, totalBytes),
      retryAfterMs: 30_000,
    })
  }

  /** Measures, and frees what has to go. One look at a time; a failure to free keeps what was measured. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { client, measure, settings } = this.#options
    if (!this.#isLoaded) {
      const text = await readMeta(client, metaKey)
      if (text !== null)
        this.#state = { ...this.#state, freedUntil: JSON.parse(text) as Record<string, number> }
      this.#isLoaded = true
    }
    const size = await measure()
    this.#judge(size, this.#state.storeBytes)
    const storeBytes = await selectStoreBytes(client)
    this.#judge(size, storeBytes)
    const high = Math.min(settings.freeBytes, size.totalBytes * freeShare)
    const excess = Math.max(
      size.freeBytes < high ? high * slack - size.freeBytes : 0,
      settings.storeBytes > 0 && storeBytes > settings.storeBytes
        ? storeBytes - settings.storeBytes / slack
        : 0,
    )
    if (excess === 0) {
      this.#hasNothingLeft = false
      return
    }
    await this.#free(excess)
    this.#judge(await measure(), await selectStoreBytes(client))
  }

  async #free(excess: number): Promise<void> {
    const { client, windows, now, log, onFreed } = this.#options
    let freed = 0
    for (const partition of orderByAge(await selectPartitions(client, freeable), windows, now())) {
      if (freed >= excess) return
      await dropPartition(client, partition)
      freed += partition.bytes
      onFreed(partition)
      const { table, id, bytes, to } = partition
      const until = Math.max(this.#state.freedUntil[table] ?? 0, to + rowSeconds(table))
      this.#state = { ...this.#state, freedUntil: { ...this.#state.freedUntil, [table]: until } }
      // Without it only the answers after a restart say less. On a full disk it may fail.
      await writeMeta(client, metaKey, JSON.stringify(this.#state.freedUntil)).catch(() => {})
      log.warn({ table, partition: id, bytes }, 'disk: the oldest data was removed to make room')
    }
    // Said once for each time that the disk fills.
    if (freed < excess && !this.#hasNothingLeft)
      log.error(
        { excess: Math.round(excess - freed) },
        'disk: nothing is left that may be removed; give the data folder more room',
      )
    this.#hasNothingLeft = freed < excess
  }

  #judge(size: DiskSize, storeBytes: number): void {
    const { settings } = this.#options
    const refuse = refuseLimit(settings, size.totalBytes)
    const high = Math.min(settings.freeBytes, size.totalBytes * freeShare)
    const isOver = settings.storeBytes > 0 && storeBytes > settings.storeBytes
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
    const [state, reason] =
      size.freeBytes < refuse
        ? ([
            'refusing',
            `${mib(size.freeBytes)} are free on the disk of the data folder, below ${mib(refuse)} (STROBE_DISK_REFUSE) nothing is taken; free space there, or shorten what is kept. Queries go on`,
          ] as const)
        : size.freeBytes < high
          ? ([
              'freeing',
              `${mib(size.freeBytes)} are free on the disk of the data folder, below ${mib(high)} (STROBE_DISK_FREE) the oldest data goes`,
            ] as const)
          : isOver
            ? ([
                'freeing',
                `the store has ${mib(storeBytes)}, above ${mib(settings.storeBytes)} (STROBE_STORE_BYTES) the oldest data goes`,
              ] as const)
            : (['ok', ''] as const)
    if (state !== this.#state.state && state === 'refusing') this.#options.log.error(size, `disk: ${reason}`)
    this.#state = { ...this.#state, ...size, storeBytes, state, reason }
  }
}

function refuseLimit(settings: DiskSettings, totalBytes: number): number {
  return Math.min(settings.refuseBytes, totalBytes * refuseShare)
}

/** What says what the others rest on stays: it is small. */
const freeable = storeTables
  .filter(({ name, kind }) => kind === 'timed' && name !== 'totals_10m')
  .map(({ name }) => name)

/**
 * In the order in which they go: what has lived the largest share of its window first, so that each level loses its
 * oldest; of equal shares the larger. A partition that may still be written to is not among them.
 */
export function orderByAge(partitions: readonly Partition[], windows: Windows, nowMs: number): Partition[] {
  const share = ({ table, to }: Partition) =>
    (nowMs - (to + rowSeconds(table)) * 1000) / windowOf(windows, table)
  return partitions
    .filter(({ to }) => to * 1000 < nowMs - openMs)
    .sort((a, b) => share(b) - share(a) || b.bytes - a.bytes)
}

async function selectStoreBytes(client: StoreClient): Promise<number> {
  const result = await client.query({
    query:
      'SELECT toFloat64(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE active AND database = currentDatabase()',
    format: 'JSONEachRow',
  })
  return (await result.json<{ bytes: number }>())[0]?.bytes ?? 0
}

/** Of the store's first disk, as the store says. */
export async function selectDiskSize(client: StoreClient): Promise<DiskSize> {
  const result = await client.query({
    query:
      "SELECT toFloat64(free_space) AS freeBytes, toFloat64(total_space) AS totalBytes FROM system.disks ORDER BY name = 'default' DESC LIMIT 1",
    format: 'JSONEachRow',
  })
  const [size] = await result.json<DiskSize>()
  return size ?? { freeBytes: 0, totalBytes: 0 }
}
