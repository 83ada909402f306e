import { setTimeout as sleep } from 'node:timers/promises'
import type { StoreClient } from '../client.ts'
import { cleanDimensions } from './clean-dimensions.ts'
import { cleanAgents, cleanRefused } from './clean-rest.ts'
import type { DiskGuard } from './disk-guard.ts'
import { expire, type TenantLife } from './expire.ts'

export interface LifeSettings {
  /** Pause between two looks for what has ended. */
  intervalMs: number
  /** Pause between two looks at the disk. */
  diskIntervalMs: number
  /** Pause between two cleanings of dimensions, agents and refused groups. */
  cleanIntervalMs: number
  /** Rewrites of partitions in one look. */
  maxDeletes: number
  /** Pause after a rewrite, as a multiple of the time it took. */
  pauseRatio: number
  /** Silent agents and refused groups are kept so long. */
  keepRestMs: number
}

export function defaultLifeSettings(): LifeSettings {
  return {
    intervalMs: 600_000,
    diskIntervalMs: 5_000,
    cleanIntervalMs: 86_400_000,
    maxDeletes: 50,
    pauseRatio: 2,
    keepRestMs: 30 * 86_400_000,
  }
}

export interface LifeJobOptions {
  client: StoreClient
  guard: DiskGuard
  journalFolder: string
  settings: LifeSettings
  defaults(): TenantLife
  own(): ReadonlyMap<string, TenantLife>
  ledgerKeepMs(): number
  now: () => number
  log: {
    info(facts: object, message: string): void
    warn(facts: object, message: string): void
  }
  metrics: { removed(table: string, reason: 'expired' | 'unused', rows: number): void }
}

/** Ends what has lived long enough, cleans what nothing names, watches the disk. Any number of servers may. */
export class LifeJob {
  readonly #options: LifeJobOptions
  readonly #stopping = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #cleanedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: LifeJobOptions) {
    this.#options = options
  }

  /** Resolves when the disk was measured once. */
  async start(): Promise<void> {
    const { settings, guard } = this.#options
    await this.#try('the disk', () => guard.look())
    this.#running = Promise.all([
      this.#repeat(settings.diskIntervalMs, 'the disk', () => guard.look()),
      this.#repeat(settings.intervalMs, 'what has ended', () => this.look()),
    ])
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  /** One look for what has ended. Throws what the store throws. */
  async look(): Promise<void> {
    const { client, settings, now, log, metrics } = this.#options
    const { signal } = this.#stopping
    let isMoreWaiting = true
    while (isMoreWaiting && !signal.aborted) {
      isMoreWaiting = await expire({
        client,
        nowMs: now(),
        defaults: this.#options.defaults(),
        own: this.#options.own(),
        ledgerKeepMs: this.#options.ledgerKeepMs(),
        maxDeletes: settings.maxDeletes,
        onRemoved(table, { id, rows, bytes }) {
          metrics.removed(table, 'expired', rows)
          log.info(
            { table, partition: id, rows, bytes },
            'retention: a partition was removed, or a tenant from it',
          )
        },
        pace: async tookMs => {
          await sleep(tookMs * settings.pauseRatio, undefined, { signal }).catch(() => {})
        },
      })
    }
    if (signal.aborted || now() - this.#cleanedAtMs < settings.cleanIntervalMs) return
    this.#cleanedAtMs = now()
    await this.clean()
  }

  /** Dimensions, agents and refused groups. Throws what the store throws. */
  async clean(): Promise<void> {
    const { client, settings, now, log, metrics, journalFolder } = this.#options
    for (const { table, rows } of await cleanDimensions(client, now())) {
      metrics.removed(table, 'unused', rows)
      log.info({ table, rows }, 'retention: rows that no sample names were removed')
    }
    metrics.removed('agents', 'unused', await cleanAgents(client, now(), settings.keepRestMs))
    for (const path of await cleanRefused(journalFolder, now(), settings.keepRestMs))
      log.warn({ path }, 'retention: a group that the store had refused was removed')
  }

  async #repeat(pauseMs: number, what: string, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#try(what, work)
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  async #try(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        this.#options.log.warn(
          { reason: (error as Error).message },
          `life: trying again later to look at ${what}`,
        )
    }
  }
}
