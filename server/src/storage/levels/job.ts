import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StoreClient } from '../client.ts'
import { formatSeconds } from '../format-seconds.ts'
import { batchDue, type DueRow, selectDue, selectLostRuns } from './due.ts'
import {
  beginStatement,
  type Level,
  type LevelName,
  levelNames,
  levels,
  type Run,
  sumStatement,
  verifyStatement,
} from './level.ts'
import type { LevelSettings } from './settings.ts'

export interface LevelMetrics {
  /** Periods of one service and type that a run began with. */
  ran(
    level: LevelName,
    reason: DueRow['reason'],
    outcome: 'recorded' | 'unsettled' | 'failed',
    periods: number,
  ): void
  ranFor(level: LevelName, seconds: number): void
  wrote(level: LevelName, rows: number): void
  /** How long ago the oldest period ended that waits to be summed; 0 when none does. */
  lags(level: LevelName, seconds: number): void
  deleted(level: LevelName, runs: number): void
}

export interface LevelJobOptions {
  client: StoreClient
  settings: LevelSettings
  log: { warn(facts: object, message: string): void }
  metrics: LevelMetrics
  /** Unix ms. */
  now: () => number
  /** Called between the steps of a run; tests end the job there. */
  onStep?: (step: 'begun' | 'summed' | 'verified' | 'recorded', level: LevelName) => void | Promise<void>
}

type VerifiedRow = [
  service: string,
  type: string,
  time: number,
  runId: string,
  profiles: string,
  rows: number,
  isWhole: 0 | 1,
]

// One statement's keys and names fit the engine's 256 KiB of text and the 16 KiB of a request's line.
const keysPerRun = 500
const nameLengthPerRun = 2_000
// A level with much to do lets the others have their turn.
const runsPerLook = 4

/**
 * Sums closed periods into the levels. It keeps nothing between looks, so it can end anywhere, and several may
 * run at once: each writes under run ids of its own, and a run counts only once level_state records it.
 */
export class LevelJob {
  readonly #options: LevelJobOptions
  readonly #stopping = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()
  #loop: Promise<void> | null = null
  #cleanedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: LevelJobOptions) {
    this.#options = options
  }

  /** Looks again and again until stop(). */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** Waits for the statement that runs; what it leaves undone is found again. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
    await this.#turn
  }

  /** Runs work while nothing is being summed. */
  pause<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work)
  }

  /** One look at every level. Returns whether more waits. Throws what the store throws. */
  look(): Promise<boolean> {
    return this.#inTurn(async () => {
      let isMoreWaiting = false
      for (const name of levelNames) isMoreWaiting = (await this.#roll(levels[name])) || isMoreWaiting
      return isMoreWaiting
    })
  }

  /** Deletes the rows of runs that cannot count any more. */
  clean(): Promise<void> {
    return this.#inTurn(() => this.#clean())
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #run(): Promise<void> {
    const { settings, now, log } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      let isMoreWaiting = false
      try {
        isMoreWaiting = await this.look()
        if (now() - this.#cleanedAtMs > settings.supersededKeepMs) {
          await this.clean()
          this.#cleanedAtMs = now()
        }
      } catch (error) {
        if (!signal.aborted) log.warn({ reason: (error as Error).message }, 'levels: trying again later')
      }
      if (!isMoreWaiting) await sleep(settings.intervalMs, undefined, { signal }).catch(() => {})
    }
  }

  async #roll(level: Level): Promise<boolean> {
    const { client, metrics, now, settings } = this.#options
    const due = await selectDue(client, level, settings, now())
    const runLimits = { keys: keysPerRun, nameLength: nameLengthPerRun, samples: settings.batchSamples }
    const oldest = due.reduce((time, row) => Math.min(time, row.time), Number.POSITIVE_INFINITY)
    metrics.lags(level.name, due.length > 0 ? now() / 1000 - oldest - level.seconds : 0)
    let runs = 0
    for (const batch of batchDue(due, runLimits)) {
      if (this.#stopping.signal.aborted) return false
      if (++runs > runsPerLook) return true
      const startedAt = performance.now()
      await this.#runBatch(level, batch)
      const tookMs = performance.now() - startedAt
      metrics.ranFor(level.name, tookMs / 1000)
      await sleep(tookMs * settings.pauseRatio, undefined, { signal: this.#stopping.signal }).catch(() => {})
    }
    return false
  }

  async #runBatch(level: Level, batch: DueRow[]): Promise<void> {
    const { client, settings, now, metrics, onStep } = this.#options
    const { signal } = this.#stopping
    const run: Run = {
      level,
      tenant: batch[0]!.tenant,
      token: randomBytes(8).toString('hex'),
      keys: batch,
    }
    const count = (outcome: 'recorded' | 'unsettled' | 'failed', rows: DueRow[]) => {
      for (const reason of ['new', 'late', 'retry'] as const)
        metrics.ran(level.name, reason, outcome, rows.filter(row => row.reason === reason).length)
    }
    try {
      await client.command({ ...beginStatement(run, now()), abort_signal: signal })
      await onStep?.('begun', level.name)
      await client.command({ ...sumStatement(run, settings), abort_signal: signal })
      await onStep?.('summed', level.name)
      const verified = await this.#verify(run)
      await onStep?.('verified', level.name)
      const whole = verified.filter(row => row[6] === 1)
      if (whole.length > 0)
        await client.insert({
          table: 'level_state',
          values: whole.map(([service, type, time, runId, profiles]) => ({
            tenant: run.tenant,
            level: level.name,
            service,
            type,
            time,
            run_id: runId,
            step: 'recorded',
            profiles,
            at: formatSeconds(now()),
          })),
          format: 'JSONEachRow',
        })
      await onStep?.('recorded', level.name)
      metrics.wrote(
        level.name,
        verified.reduce((sum, row) => sum + row[5], 0),
      )
      const isWhole = new Set(whole.map(([service, type, time]) => `${time} ${type} ${service}`))
      const stands = (row: DueRow) => isWhole.has(`${row.time} ${row.type} ${row.service}`)
      count('recorded', batch.filter(stands))
      count(
        'unsettled',
        batch.filter(row => !stands(row)),
      )
    } catch (error) {
      count('failed', batch)
      throw error
    }
  }

  async #verify(run: Run): Promise<VerifiedRow[]> {
    const { client } = this.#options
    const result = await client.query({
      ...verifyStatement(run),
      format: 'JSONCompactEachRow',
      abort_signal: this.#stopping.signal,
    })
    return (await result.json()) as unknown as VerifiedRow[]
  }

  async #clean(): Promise<void> {
    const { client, metrics, now, settings } = this.#options
    const lost = await selectLostRuns(client, now() - settings.supersededKeepMs)
    for (const { tenant, level, from, to, runIds } of lost) {
      if (this.#stopping.signal.aborted) return
      const where = `tenant = {tenant:String} AND time >= toDateTime({from:UInt32}) AND time <= toDateTime({to:UInt32}) AND run_id IN (${runIds.join(', ')})`
      const query_params = { tenant, from, to, level }
      // The state goes last: while it stands, what is left of the rows can be found.
      await client.command({ query: `DELETE FROM ${level} WHERE ${where}`, query_params })
      await client.command({
        query: `DELETE FROM level_state WHERE level = {level:String} AND ${where}`,
        query_params,
      })
      metrics.deleted(level, runIds.length)
    }
  }
}
