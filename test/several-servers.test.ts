import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectIngest, type IngestConnection } from '@strobe/server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seededRandom } from '../cli/src/demo/random.ts'
import { defaultEngineSettings } from '../server/src/engine/settings.ts'
import { type Engine, startEngine } from '../server/src/engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { makeBatch } from './ingest-process.ts'
import { differences } from './kills.ts'
import { type ServerProcess, spawnServer } from './server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'strobe-servers-'))
const password = 'a password of the test'
let engine: Engine
let store: StoreClient
let lastBatch = 0

beforeAll(async () => {
  const log = { info() {}, warn() {}, error() {} }
  const listening = { ...defaultEngineSettings(join(folder, 'engine')), listen: '127.0.0.1:0', password }
  engine = await startEngine(listening, log)
  store = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
})

afterAll(async () => {
  for (const one of [a, b]) await one?.end()
  await store?.close()
  await engine?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** One place for a server: the processes in it come and go, and so do their folders. */
class Seat {
  readonly #address: string
  readonly #name: string
  #lives = 0
  #dataDir = ''
  #server: ServerProcess | null = null
  #ingest: IngestConnection | null = null
  url = ''

  constructor(name: string, address: string) {
    this.#name = name
    this.#address = address
  }

  /** isNew: a server that nobody has seen; the one before never comes back. */
  async start(isNew: boolean): Promise<void> {
    if (isNew) this.#dataDir = join(folder, `${this.#name}-${this.#lives++}`)
    this.#server = spawnServer(this.#dataDir, {
      clickhouseUrl: this.#address,
      leaseMs: '2s',
      levelIntervalMs: '500ms',
    })
    const { url, grpcAddress } = await this.#server.ready
    this.url = url
    this.#ingest = connectIngest(grpcAddress)
  }

  async kill(): Promise<void> {
    this.#ingest?.close()
    this.#ingest = null
    this.#server?.child.kill('SIGKILL')
    await this.#server?.ended
  }

  /** Longer than its lease: the other server takes it for dead, and it goes on where it was. */
  async freeze(ms: number): Promise<void> {
    this.#server?.child.kill('SIGSTOP')
    await sleep(ms)
    this.#server?.child.kill('SIGCONT')
  }

  async end(): Promise<void> {
    this.#ingest?.close()
    await this.#server?.stop()
  }

  /** True when the batch was stored now, false when it had been before. */
  async write(batch: ReturnType<typeof makeBatch>): Promise<boolean> {
    if (!this.#ingest) throw new Error('no server')
    return !(await this.#ingest.write(batch)).duplicate
  }

  /** Until it is acknowledged; returns the tries it took. */
  async insist(batch: ReturnType<typeof makeBatch>): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        await this.write(batch)
        return tries
      } catch {
        if (tries > 600) throw new Error(`batch ${Buffer.from(batch.batchId)} was never acknowledged`)
        await sleep(100)
      }
    }
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(new URL('metrics', this.url))).text()
    return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    )
  }
}

let a: Seat
let b: Seat

test('the same batches through two servers at once are stored once', async () => {
  a = new Seat('a', `http://strobe:${encodeURIComponent(password)}@127.0.0.1:${engine.listenPort()}`)
  b = new Seat('b', `unix://${engine.address.socketPath}`)
  await Promise.all([a.start(true), b.start(true)])
  const batches = Array.from({ length: 60 }, (_, index) => makeBatch(index + 1))
  lastBatch = batches.length
  const answers = await Promise.all(
    batches.map(batch => Promise.all([a.write(batch), b.write(batch), a.write(batch)])),
  )
  for (const answer of answers) expect(answer.filter(isNew => isNew)).toHaveLength(1)
  expect(await differences(store, lastBatch)).toEqual([])
  // They did meet: else nothing was shown.
  expect(
    (await a.metric('strobe_store_contested_batches_total')) +
      (await b.metric('strobe_store_contested_batches_total')),
  ).toBeGreaterThan(0)
})

test('killed or frozen at random moments, with every batch sent to both: each is stored once', async () => {
  const seed = Date.now() % 2 ** 31
  const random = seededRandom(seed)
  let isSending = true
  let tries = 0
  const send = async () => {
    while (isSending) {
      const batch = makeBatch(++lastBatch)
      const counts = await Promise.all([a.insist(batch), b.insist(batch)])
      tries += counts[0] + counts[1]
    }
  }
  const senders = Array.from({ length: 12 }, send)
  const fates: string[] = []
  for (const fate of ['gone', 'frozen', 'back', 'gone', 'frozen', 'back', 'frozen', 'gone']) {
    await sleep(400 + random() * 1_600)
    const seat = random() < 0.5 ? a : b
    fates.push(`${seat === a ? 'a' : 'b'} ${fate}`)
    if (fate === 'frozen') await seat.freeze(3_000)
    else {
      await seat.kill()
      await seat.start(fate === 'gone')
    }
  }
  isSending = false
  await Promise.all(senders)
  const life = `seed ${seed}: ${fates.join(', ')}; ${lastBatch} batches`
  expect(await differences(store, lastBatch), life).toEqual([])
  // The kills cost tries: else nothing was shown.
  expect(tries).toBeGreaterThan(2 * (lastBatch - 60))
})
