import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError } from '../errors.ts'
import type { EncodedBatch } from './batch-encoder.ts'
import { type ClaimedBatch, Claims, claimedBatch } from './claims.ts'
import { insertBinary, type StoreClient } from './client.ts'
import { type FenceState, tokenSettings } from './fence.ts'
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
  groupReplayed(outcome: 'stored' | 'known' | 'damaged' | 'refused' | 'fenced'): void
  insertSeconds(seconds: number): void
  /** A batch that another server was storing at the same time. */
  contested(batches: number): void
  /** A group of a server that is gone was decided. */
  fenced(state: FenceState): void
}

/** Where others write to the same store. */
export interface SharedStore {
  /** Of this server, the same after a restart. */
  serverId: string
  /** The last sign of life before this process, as the store writes a time; '' when there was none. */
  earlierLife: string
  /** A server without a sign of life for so long loses what it has claimed. */
  leaseMs: number
}

/** What became of the batches of a write, by key; every other one is stored. */
export interface WriteOutcome {
  /** Were stored before. */
  known: Set<string>
  /** Another server is storing them, or has begun to: write them again in a moment. */
  contested: Set<string>
  /** Half of each stands, and nobody can complete it. */
  torn: Set<string>
}

export interface StoreOptions {
  client: StoreClient
  journal: Journal
  settings: StorageSettings
  log: StoreLog
  metrics: StoreMetrics
  now: () => number
  /** null: this server alone writes to the store. */
  shared?: SharedStore | null
  /** Called between the steps of a group, and waited for; tests end the process there, or let another server in. */
  onStep?: (step: 'claimed' | 'journaled' | 'inserted' | 'recorded') => void | Promise<void>
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

/** Other servers took this one for dead: they store the batches, and the rows that were sent are none. */
class GroupFenced extends Error {}

export function tornError(keys: readonly string[]): CodedError {
  return new CodedError(
    'BATCH_TORN',
    `half of the batch was stored when the server that stored it was taken for dead, and nobody can complete it: ${keys.slice(0, 10).join(', ')}`,
    { batches: keys.slice(0, 100) },
  )
}

/** Writes groups of batches: journal, dimensions, profiles, ledger. One group at a time, others wait. */
export class Store {
  readonly ledger: Ledger
  /** What encoders in other threads need to leave out what is stored. */
  readonly seenIdsBuffer: SharedArrayBuffer
  readonly #options: StoreOptions
  readonly #seen: SeenIds
  readonly #claims: Claims | null
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
    const { client, log, metrics, shared } = options
    this.#claims = shared
      ? new Claims({
          client,
          ledger: this.ledger,
          ...shared,
          retry: work => this.#retry(work),
          log,
          onFence: state => metrics.fenced(state),
        })
      : null
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
          if (error instanceof GroupFenced) {
            metrics.groupReplayed('fenced')
            await journal.remove(id)
            log.info({ group: id }, 'journal: another server stores the batches of a group')
            continue
          }
          await this.#setAside(group, error)
          metrics.groupReplayed('refused')
          continue
        }
      }
      this.ledger.remember(group.batchKeys)
      await journal.remove(id)
      log.info({ group: id, batches: group.batchKeys.length }, 'journal: a group was replayed')
    }
    await this.#claims?.withdrawLeftOvers()
  }

  /** Those of keys that were stored before. Waits for the store when it is away. */
  async selectStored(keys: readonly string[]): Promise<Set<string>> {
    await this.#checkEpoch()
    return this.#retry(() => this.ledger.select(keys))
  }

  /**
   * Returns when the rows and the ledger's of all but the contested are durable; tries for as long as the store
   * is away.
   * Throws STORE_FAILED when it will never take them, BATCH_TORN when half of the group stands and the other
   * half never will, SERVER_STOPPING when stop() came first (the journal keeps the group), JOURNAL_FAILED when the
   * journal could not be written and nothing was begun, STORE_NOT_READY when the store was emptied or replaced
   * since a batch was encoded: nothing was begun.
   */
  write(batches: readonly EncodedBatch[]): Promise<WriteOutcome> {
    return this.#inTurn(() => this.#writeClaimed(batches))
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

  async #writeClaimed(batches: readonly EncodedBatch[]): Promise<WriteOutcome> {
    const { metrics, now } = this.#options
    await this.#checkEpoch()
    if (batches.some(batch => batch.seenVersion !== this.#seen.version)) {
      throw new CodedError(
        'STORE_NOT_READY',
        'the store was emptied or replaced while the profiles waited; send them again',
        { retryAfterMs: 1_000 },
      )
    }
    const id = `${String(now()).padStart(15, '0')}-${String(this.#sequence++).padStart(9, '0')}-${randomBytes(6).toString('hex')}`
    const claims = this.#claims
    if (!claims) {
      await this.#write(id, batches, null)
      return { known: new Set(), contested: new Set(), torn: new Set() }
    }
    const wanted = batches.map(batch => claimedBatch(batchKey(batch.tenant, batch.batchId), batch.places))
    let own: ClaimedBatch[] = []
    try {
      const { stored, contested, torn, ...rest } = await claims.claim(id, wanted)
      own = wanted.filter(batch => rest.own.has(batch.key))
      await this.#options.onStep?.('claimed')
      metrics.contested(contested.size)
      this.ledger.remember(stored)
      if (own.length > 0) {
        const keys = new Set(own.map(batch => batch.key))
        await this.#write(
          id,
          batches.filter(batch => keys.has(batchKey(batch.tenant, batch.batchId))),
          own,
        )
      }
      return { known: stored, contested, torn }
    } catch (error) {
      // A journal that keeps the group keeps its claims, too.
      if (error instanceof CodedError && error.code === 'SERVER_STOPPING') throw error
      await claims.withdraw(id, own)
      if (!(error instanceof GroupFenced)) throw error
      return { known: new Set(), contested: new Set(wanted.map(batch => batch.key)), torn: new Set() }
    } finally {
      claims.end(id)
    }
  }

  /** claimed: the same batches, null where nobody else writes. */
  async #write(id: string, batches: readonly EncodedBatch[], claimed: ClaimedBatch[] | null): Promise<void> {
    const { journal, metrics, now } = this.#options
    const nowMs = now()
    const encoded = encodeGroup(batches, this.#seen, id, nowMs)
    const group: Group = {
      id,
      batchKeys: batches.map(batch => batchKey(batch.tenant, batch.batchId)),
      ...(claimed ? { places: claimed.map(batch => batch.places) } : {}),
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
    await this.#options.onStep?.('journaled')
    const startedAt = performance.now()
    try {
      await this.#insert(group)
    } catch (error) {
      if (error instanceof CodedError && error.code === 'SERVER_STOPPING') throw error
      if (error instanceof GroupFenced) {
        await journal.remove(id)
        throw error
      }
      throw await this.#setAside(group, error)
    }
    metrics.insertSeconds((performance.now() - startedAt) / 1000)
    encoded.markSeen()
    for (const [table, rows] of Object.entries(encoded.rows)) metrics.insertedRows(table, rows)
    this.ledger.remember(group.batchKeys)
    await this.#options.onStep?.('recorded')
    await journal.remove(id)
  }

  /** Ends the tries that wait for the store. */
  stop(): void {
    this.#stopping.abort()
  }

  async #insert(group: Group): Promise<void> {
    for (const section of group.sections) {
      const settings = section.token ? tokenSettings(section.token) : ''
      await this.#retry(() =>
        insertBinary(this.#options.client, section.table, section.columns, section.bytes, settings),
      )
      if (!section.token) continue
      await this.#options.onStep?.('inserted')
      // A server that was taken for dead learns it here, before anybody is told that the rows are stored.
      const state = group.places ? await this.#claims?.state(section.token, group.places) : 'clear'
      if (state === 'fenced') throw new GroupFenced()
      if (state === 'torn') throw tornError(group.batchKeys)
    }
  }

  async #setAside(group: Group, error: unknown): Promise<CodedError> {
    const path = await this.#options.journal.setAside(group.id)
    if (error instanceof CodedError) return error
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
