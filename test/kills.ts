import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WriteRequest } from '@strobe/proto'
import { connectIngest, type IngestConnection } from '@strobe/server'
import { seededRandom } from '../cli/src/demo/random.ts'
import type { StoreClient } from '../server/src/storage/client.ts'
import { makeBatch, selectRows, seriesPerBatch } from './ingest-process.ts'
import { isAlive, openStore, type ServerProcess, spawnServer } from './server-process.ts'

/** What is killed: the job is killed with its server, right after it began a run. */
export const victims = ['server', 'engine', 'start', 'job', 'migration'] as const
export type Victim = (typeof victims)[number]

export interface KillReport {
  kills: Record<Victim, number>
  /** Batches of three profiles; each was tried until it was acknowledged. */
  batches: number
  /** Tries that the kills cost. */
  retries: number
  /** Runs of the level job that stand. */
  levelRuns: number
  /** Whatever is not as it must be; empty when every profile is there exactly once. */
  problems: string[]
}

interface KillOptions {
  folder: string
  kills: number
  seed: number
}

const senders = 4
// The job looks for work all the time, and takes periods as soon as they end.
const settings = { levelIntervalMs: '100ms', levelDelayMs: '0s' }

/**
 * Kills the server and its engine at random moments, `kills` times in turns of all victims, while senders send
 * and send again; then counts what is stored.
 */
export async function runKills({ folder, kills, seed }: KillOptions): Promise<KillReport> {
  const random = seededRandom(seed)
  const report: KillReport = {
    kills: { server: 0, engine: 0, start: 0, job: 0, migration: 0 },
    batches: 0,
    retries: 0,
    levelRuns: 0,
    problems: [],
  }
  const world = new World(join(folder, 'store'), random, report)
  await world.start()
  for (let kill = 0; kill < kills; kill++) {
    const victim = victims[kill % victims.length]!
    if (victim === 'migration') await killMigration(join(folder, `fresh-${kill}`), random, report)
    else await world.kill(victim)
    report.kills[victim]++
  }
  await world.finish()
  return report
}

/** A store, what is sent to it, and the processes that come and go. */
class World {
  readonly #dataDir: string
  readonly #random: () => number
  readonly #report: KillReport
  #server: ServerProcess | null = null
  #store: StoreClient
  #ingest: IngestConnection | null = null
  #next = 1
  #isSending = true
  #acknowledged = 0
  readonly #sending: Promise<void>[]

  constructor(dataDir: string, random: () => number, report: KillReport) {
    mkdirSync(dataDir, { recursive: true })
    this.#dataDir = dataDir
    this.#random = random
    this.#report = report
    this.#store = openStore(dataDir)
    this.#sending = Array.from({ length: senders }, () => this.#send())
  }

  async start(): Promise<void> {
    this.#server = spawnServer(this.#dataDir, settings)
    const { grpcAddress } = await this.#server.ready
    this.#ingest = connectIngest(grpcAddress)
  }

  async kill(victim: Exclude<Victim, 'migration'>): Promise<void> {
    if (victim === 'start') {
      await this.#endServer()
      this.#server = spawnServer(this.#dataDir, settings)
      // Until it is ready, and a little longer.
      await Promise.race([
        this.#server.ready.then(() => sleep(50)).catch(() => {}),
        sleep(this.#random() * 1500),
      ])
      await this.#endServer()
      await this.start()
    } else if (victim === 'engine') {
      await this.#someBatches()
      const pid = this.#server!.enginePid()
      if (pid === null) this.#report.problems.push('there was no engine to kill')
      else process.kill(pid, 'SIGKILL')
      // The server starts another one by itself.
      await this.#someBatches()
    } else {
      await this.#someBatches()
      if (victim === 'job') await this.#jobBegins()
      await this.#endServer()
      await this.start()
    }
  }

  /** Stores all that was begun, checks, and ends. */
  async finish(): Promise<void> {
    const { problems } = this.#report
    await this.#someBatches()
    this.#isSending = false
    await Promise.all(this.#sending)
    this.#report.batches = this.#next - 1
    problems.push(...(await differences(this.#store, this.#next - 1)))
    const { url } = await this.#server!.ready
    const answer = await readTotal(url)
    const wanted = totalOf(this.#next - 1)
    if (answer !== wanted) problems.push(`the flame graph says ${answer}, sent were ${wanted}`)
    const [[runs]] = (await selectRows(
      this.#store,
      `SELECT toUInt32(uniqExact(run_id)) FROM level_state WHERE step = 'recorded'`,
    )) as [[number]]
    this.#report.levelRuns = runs
    this.#ingest?.close()
    await this.#store.close()
    await this.#server!.stop()
  }

  /** One sender: a batch after the other, each until it is acknowledged. */
  async #send(): Promise<void> {
    while (this.#isSending) {
      const n = this.#next++
      // Over three hours, so that periods that ended get more: late data for the job.
      const batch = makeBatch(n, Date.now() - (n % 180) * 60_000)
      while (!(await this.#write(batch))) {
        this.#report.retries++
        await sleep(50)
      }
      this.#acknowledged++
    }
  }

  async #write(batch: WriteRequest): Promise<boolean> {
    try {
      if (!this.#ingest) return false
      await this.#ingest.write(batch)
      return true
    } catch {
      return false
    }
  }

  /** Some more are acknowledged, and a random moment goes by. */
  async #someBatches(): Promise<void> {
    const wanted = this.#acknowledged + senders
    for (let waitedMs = 0; this.#acknowledged < wanted; waitedMs += 20) {
      if (waitedMs > 60_000) throw new Error('nothing was acknowledged for a minute')
      await sleep(20)
    }
    await sleep(this.#random() * 700)
  }

  async #jobBegins(): Promise<void> {
    const begun = async () =>
      (await selectRows(this.#store, `SELECT toUInt32(count()) FROM level_state WHERE step = 'begun'`)) as [
        [number],
      ]
    const [[before]] = await begun()
    for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 10) {
      if ((await begun())[0][0] > before) break
      await sleep(10)
    }
    await sleep(this.#random() * 60)
  }

  async #endServer(): Promise<void> {
    this.#ingest?.close()
    this.#ingest = null
    const server = this.#server!
    const enginePid = server.enginePid()
    server.child.kill('SIGKILL')
    await server.ended
    await untilGone(enginePid)
  }
}

/** A store whose first start is killed: the next one must complete it. */
async function killMigration(dataDir: string, random: () => number, report: KillReport): Promise<void> {
  mkdirSync(dataDir, { recursive: true })
  const server = spawnServer(dataDir, settings)
  // The engine's own files first: without them nothing has begun.
  for (let waitedMs = 0; server.enginePid() === null && waitedMs < 10_000; waitedMs += 5) await sleep(5)
  await Promise.race([server.ready.catch(() => {}), sleep(300 + random() * 700)])
  const enginePid = server.enginePid()
  server.child.kill('SIGKILL')
  await server.ended
  await untilGone(enginePid)

  const again = spawnServer(dataDir, settings)
  const { grpcAddress } = await again.ready
  const ingest = connectIngest(grpcAddress)
  const store = openStore(dataDir)
  await Promise.all([1, 2, 3].map(n => ingest.write(makeBatch(n))))
  report.problems.push(...(await differences(store, 3)).map(each => `after a killed migration: ${each}`))
  ingest.close()
  await store.close()
  await again.stop()
}

function totalOf(batches: number): number {
  return batches * (batches + 1) * 1000 + 3 * batches
}

/** What is not as it must be when batches 1 to `batches` are stored, each once. */
export async function differences(store: StoreClient, batches: number): Promise<string[]> {
  const found: string[] = []
  const perHost = (await selectRows(
    store,
    `SELECT labels['host_name'], toUInt32(sum(profiles)), toFloat64(sum(value)) FROM
      (SELECT series_id, count() AS profiles, sum(value) AS value FROM profiles GROUP BY series_id) p
      JOIN (SELECT series_id, any(labels) AS labels FROM series GROUP BY series_id) s USING series_id
      GROUP BY labels['host_name']`,
  )) as [string, number, number][]
  const rows = new Map(perHost.map(([host, ...row]) => [host, row]))
  for (let n = 1; n <= batches; n++) {
    const [profiles, value] = rows.get(`host-${n}`) ?? [0, 0]
    if (profiles !== seriesPerBatch || value !== 2000 * n + 3)
      found.push(`batch ${n} has ${profiles} profiles with ${value}`)
  }
  if (rows.size !== batches) found.push(`${rows.size} hosts are stored, ${batches} sent`)
  const total = totalOf(batches)
  const [sums] = await selectRows(
    store,
    `SELECT (SELECT toFloat64(sum(value)) FROM samples WHERE tenant != ''),
      (SELECT toUInt32(count()) FROM samples WHERE tenant != ''),
      (SELECT toFloat64(sum(value)) FROM totals_1m WHERE tenant != ''),
      (SELECT toUInt32(sum(profiles)) FROM totals_1m WHERE tenant != ''),
      (SELECT toUInt32(uniqExact(batch_id)) FROM batches),
      (SELECT toUInt32(count()) FROM samples WHERE tenant != '' AND stack_id NOT IN (SELECT stack_id FROM stacks))`,
  )
  const wanted = [total, 4 * batches, total, seriesPerBatch * batches, batches, 0]
  if (JSON.stringify(sums) !== JSON.stringify(wanted))
    found.push(`samples, totals and ledger are ${JSON.stringify(sums)}, must be ${JSON.stringify(wanted)}`)
  return found.slice(0, 10)
}

async function readTotal(url: string): Promise<number> {
  const target = new URL('api/v1/flamegraph', url)
  const parameters = { type: 'cpu', query: '{service_name="api"}', from: 'now-4h', to: 'now+1m' }
  target.search = new URLSearchParams(parameters).toString()
  const answer = (await (await fetch(target)).json()) as { total?: number }
  return answer.total ?? Number.NaN
}

async function untilGone(pid: number | null): Promise<void> {
  for (let waitedMs = 0; pid !== null && isAlive(pid) && waitedMs < 20_000; waitedMs += 10) await sleep(10)
}
