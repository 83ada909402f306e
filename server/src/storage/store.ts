import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError } from '../errors.ts'
import type { EncodedBatch } from './batch-encoder.ts'
import { insertBinary, type StoreClient } from './client.ts'
import { encodeGroup } from './insert.ts'
import type { Group, Journal } from './journal.ts'
import { batchKey, Ledger } from './ledger.ts'
import { readMeta } from './migrate.ts'
import { SeenIds, seenIdsBytes } from './seen-ids.ts'
import type { StorageSettings } from './settings.ts'

export interface StoreLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface StoreMetrics {
  insertedRows(table: string, rows: number): void
  insertRetried(reason: string): void
  groupReplayed(outcome: 'stored' | 'known' | 'damaged' | 'refused'): void
  insertSeconds(seconds: number): void
}

export interface StoreOptions {
  client: StoreClient
  journal: Journal
  settings: StorageSettings
  log: StoreLog
  metrics: StoreMetrics
  now: () => number
  /** Called between the steps of a group; tests end the process there. */
  onStep?: (step: 'journaled' | 'inserted' | 'recorded') => void
}

// Errors that another try cannot cure: syntax, types, missing tables or columns, broken rows.
const permanentCodes = new Set([
  '6',
  '16',
  '26',
  '27',
  '33',
  '36',
  '38',
  '41',
  '43',
  '44',
  '47',
  '48',
  '53',
  '60',
  '62',
  '70',
  '72',
  '73',
  '115',
  '117',
  '349',
  '386',
])

/** Writes groups of batches: journal, dimensions, profiles, ledger. One group at a time, others wait. */
export class Store {
  readonly ledger: Ledger
  /** What encoders in other threads need to leave out what is stored. */
  readonly seenIdsBuffer: SharedArrayBuffer
  readonly #options: StoreOptions
  readonly #seen: SeenIds
  readonly #stopping = new AbortController()
  #sequence = 0
  #epoch = ''
  #epochCheckedAtMs = Number.NEGATIVE_INFINITY
  #failure = ''
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: StoreOptions) {
    this.#options = options
    this.seenIdsBuffer = new SharedArrayBuffer(seenIdsBytes(options.settings.seenIds))
    this.#seen = new SeenIds(this.seenIdsBuffer)
    this.ledger = new Ledger(options.client, options.settings.recentBatches)
  }

  /** Why the last try to insert failed; '' while the store takes rows. */
  get failure(): string {
    return this.#failure
  }

  /** Finishes what an earlier process began; before anything new is written. */
  async replay(): Promise<void> {
    const { journal, log, metrics } = this.#options
    for (const id of await journal.list()) {
      const group = await journal.read(id)
      if (!group) {
        const path = await journal.setAside(id)
        log.error({ path }, 'journal: a group is damaged and was set aside')
        metrics.groupReplayed('damaged')
        continue
      }
      const stored = await this.#retry(() => this.ledger.select(group.batchKeys))
      if (group.batchKeys.every(key => stored.has(key))) metrics.groupReplayed('known')
      else {
        try {
          await this.#insert(group)
          metrics.groupReplayed('stored')
        } catch (error) {
          await this.#setAside(group, error)
          metrics.groupReplayed('refused')
          continue
        }
      }
      this.ledger.remember(group.batchKeys)
      await journal.remove(id)
      log.info({ group: id, batches: group.batchKeys.length }, 'journal: a group was replayed')
    }
  }

  /** Those of keys that were stored before. Waits for the store when it is away. */
  async selectStored(keys: readonly string[]): Promise<Set<string>> {
    await this.#checkEpoch()
    return this.#retry(() => this.ledger.select(keys))
  }

  /**
   * Returns when all rows and the ledger's are durable; tries for as long as the store is away.
   * Throws STORE_FAILED when it will never take them, SERVER_STOPPING when stop() came first (the journal
   * keeps the group), JOURNAL_FAILED when the journal could not be written and nothing was begun,
   * STORE_NOT_READY when the store was emptied or replaced since a batch was encoded: nothing was begun.
   */
  write(batches: readonly EncodedBatch[]): Promise<void> {
    return this.#inTurn(() => this.#write(batches))
  }

  /** Runs work while no group is on its way. */
  hold<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work)
  }

  /** Runs work that empties the store while no group is on its way, then forgets what was stored. */
  empty(work: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await work()
      } finally {
        this.#seen.clear()
        this.ledger.forget()
        // The next look takes the epoch that the work has made as it is.
        this.#epoch = ''
        this.#epochCheckedAtMs = Number.NEGATIVE_INFINITY
      }
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #write(batches: readonly EncodedBatch[]): Promise<void> {
    const { journal, metrics, now } = this.#options
    await this.#checkEpoch()
    if (batches.some(batch => batch.seenVersion !== this.#seen.version)) {
      throw new CodedError(
        'STORE_NOT_READY',
        'the store was emptied or replaced while the profiles waited; send them again',
        { retryAfterMs: 1_000 },
      )
    }
    const nowMs = now()
    const id = `${String(nowMs).padStart(15, '0')}-${String(this.#sequence++).padStart(9, '0')}-${randomBytes(6).toString('hex')}`
    const encoded = encodeGroup(batches, this.#seen, id, nowMs)
    const group: Group = {
      id,
      batchKeys: batches.map(batch => batchKey(batch.tenant, batch.batchId)),
      sections: encoded.sections,
    }
    try {
      await journal.write(group)
    } catch (cause) {
      throw new CodedError(
        'JOURNAL_FAILED',
        `the journal could not be written: ${(cause as Error).message}; free space in the data folder`,
        { retryAfterMs: 5_000 },
        { cause },
      )
    }
    this.#options.onStep?.('journaled')
    const startedAt = performance.now()
    try {
      await this.#insert(group)
    } catch (error) {
      if (error instanceof CodedError && error.code === 'SERVER_STOPPING') throw error
      throw await this.#setAside(group, error)
    }
    metrics.insertSeconds((performance.now() - startedAt) / 1000)
    encoded.markSeen()
    for (const [table, rows] of Object.entries(encoded.rows)) metrics.insertedRows(table, rows)
    this.ledger.remember(group.batchKeys)
    this.#options.onStep?.('recorded')
    await journal.remove(id)
  }

  /** Ends the tries that wait for the store. */
  stop(): void {
    this.#stopping.abort()
  }

  async #insert(group: Group): Promise<void> {
    for (const section of group.sections) {
      const settings = section.token
        ? `insert_deduplication_token = '${section.token}', deduplicate_blocks_in_dependent_materialized_views = 1`
        : ''
      await this.#retry(() =>
        insertBinary(this.#options.client, section.table, section.columns, section.bytes, settings),
      )
      if (section.token) this.#options.onStep?.('inserted')
    }
  }

  async #setAside(group: Group, error: unknown): Promise<CodedError> {
    const path = await this.#options.journal.setAside(group.id)
    const reason = (error as Error).message
    this.#options.log.error({ path, reason }, 'store: a group was refused and set aside')
    return new CodedError('STORE_FAILED', `the store refused the profiles: ${reason}`, {}, { cause: error })
  }

  async #retry<T>(work: () => Promise<T>): Promise<T> {
    const { settings, log, metrics } = this.#options
    let pauseMs = settings.retryMinMs
    for (;;) {
      try {
        const result = await work()
        this.#failure = ''
        return result
      } catch (error) {
        const code = (error as { code?: string }).code ?? ''
        const reason = (error as Error).message || code
        if (permanentCodes.has(code)) throw error
        this.#failure = reason
        metrics.insertRetried(/^\d+$/.test(code) ? `code_${code}` : 'unreachable')
        log.warn({ reason, pauseMs }, 'store: trying again')
        try {
          await sleep(pauseMs * (0.75 + Math.random() / 2), undefined, { signal: this.#stopping.signal })
        } catch {
          throw new CodedError('SERVER_STOPPING', `the server stopped while the store was away: ${reason}`)
        }
        pauseMs = Math.min(pauseMs * 2, settings.retryMaxMs)
        // The store that comes back may be another one.
        this.#epochCheckedAtMs = Number.NEGATIVE_INFINITY
      }
    }
  }

  /** What is remembered as stored is worth nothing in a store that was emptied or restored. */
  async #checkEpoch(): Promise<void> {
    const nowMs = this.#options.now()
    if (nowMs - this.#epochCheckedAtMs < 10_000) return
    const epoch = (await this.#retry(() => readMeta(this.#options.client, 'store_epoch'))) ?? ''
    this.#epochCheckedAtMs = nowMs
    if (epoch === this.#epoch) return
    const isFirst = this.#epoch === ''
    this.#epoch = epoch
    // Nothing was remembered before the first look; batches that wait for it stay good.
    if (isFirst) return
    this.#seen.clear()
    this.ledger.forget()
  }
}
