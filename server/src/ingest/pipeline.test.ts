import { expect, test } from 'vitest'
import { CodedError } from '../errors.ts'
import { createServerMetrics } from '../metrics.ts'
import type { EncodedBatch } from '../storage/batch-encoder.ts'
import { batchKey } from '../storage/ledger.ts'
import type { WriteOutcome } from '../storage/store.ts'
import { createIngest, type IngestOptions } from './pipeline.ts'
import { defaultIngestSettings, type IngestSettings } from './settings.ts'

const idOf = (name: string) => Buffer.from(name.padEnd(16, '.'))
const batchOf = (name: string, profiles = 1): EncodedBatch => ({
  tenant: 't',
  batchId: idOf(name),
  receivedAtMs: 0,
  profiles,
  samples: profiles,
  places: '',
  seenVersion: 0,
  seriesIds: BigUint64Array.from({ length: profiles }, (_, index) => BigInt(index)),
  ingest: new Uint8Array(0),
  dimensions: [],
})
const nameOf = (batch: EncodedBatch) => Buffer.from(batch.batchId).toString().replaceAll('.', '')

/** The store's side of the pipeline: groups wait until the test lets them go. */
function open(settings: Partial<IngestSettings> = {}, stored: string[] = []) {
  const groups: { names: string[]; finish(error?: Error, outcome?: Partial<WriteOutcome>): void }[] = []
  const known = new Set<string>()
  const metrics = createServerMetrics()
  const store = {
    failure: '',
    ledger: {
      isRecent: (key: string) => known.has(key),
      remember(keys: Iterable<string>) {
        for (const key of keys) known.add(key)
      },
    } as IngestOptions['store']['ledger'],
    selectStored: async (keys: readonly string[]) =>
      new Set(keys.filter(key => stored.some(name => key === batchKey('t', idOf(name))))),
    write: (batches: readonly EncodedBatch[]) =>
      new Promise<WriteOutcome>((resolve, reject) => {
        const finish = (error?: Error, outcome: Partial<WriteOutcome> = {}) => {
          if (error) reject(error)
          else {
            for (const batch of batches) known.add(batchKey(batch.tenant, batch.batchId))
            resolve({ known: new Set(), contested: new Set(), torn: new Set(), ...outcome })
          }
        }
        groups.push({ names: batches.map(nameOf), finish })
      }),
    stop() {},
  }
  const ingest = createIngest({
    store,
    decode: () => Promise.reject(new Error('nothing is decoded here')),
    writeAgents: async () => {},
    settings: { ...defaultIngestSettings(), groupWaitMs: 0, ...settings },
    metrics,
  })
  const group = async (index: number) => {
    await expect.poll(() => groups.length).toBeGreaterThan(index)
    return groups[index]!
  }
  return { ingest, group, groups, store, metrics }
}

const keysOf = (...names: string[]) => new Set(names.map(name => batchKey('t', idOf(name))))

test('each batch of a group gets its own answer; one that another server has comes again', async () => {
  const { ingest, group, metrics } = open({ groupWaitMs: 20, contestedWaitMs: 10 })
  const [fresh, stored, contested, torn] = ['b0', 'b1', 'b2', 'b3'].map(name =>
    ingest.submit(batchOf(name), 'strobe').catch((error: CodedError) => error.code),
  )
  const outcome = { known: keysOf('b1'), contested: keysOf('b2'), torn: keysOf('b3') }
  ;(await group(0)).finish(undefined, outcome)
  expect(await Promise.all([fresh, stored, torn])).toEqual([
    { profiles: 1, isDuplicate: false },
    { profiles: 1, isDuplicate: true },
    'BATCH_TORN',
  ])
  const again = await group(1)
  expect(again.names).toEqual(['b2'])
  again.finish(undefined, { contested: keysOf('b2') })
  ;(await group(2)).finish(undefined, { known: keysOf('b2') })
  expect(await contested).toEqual({ profiles: 1, isDuplicate: true })
  // One was stored by this server, and nothing waits any more.
  expect((await metrics.profiles.get()).values).toMatchObject([{ value: 1 }])
  expect((await metrics.queuedProfiles.get()).values).toMatchObject([{ value: 0 }])
})

test('a batch that another server has does not hold up the end', async () => {
  const { ingest, group } = open({ contestedWaitMs: 60_000 })
  const answer = ingest.submit(batchOf('b0'), 'strobe').catch((error: CodedError) => error.code)
  ;(await group(0)).finish(undefined, { contested: keysOf('b0') })
  await ingest.stop(10_000)
  expect(await answer).toBe('SERVER_STOPPING')
})

test('what comes while a group is on its way makes the next one', async () => {
  const { ingest, group } = open()
  const answers = [ingest.submit(batchOf('b0'), 'strobe')]
  const first = await group(0)
  answers.push(ingest.submit(batchOf('b1'), 'strobe'), ingest.submit(batchOf('b2'), 'upload'))
  first.finish()
  const second = await group(1)
  expect([first.names, second.names]).toEqual([['b0'], ['b1', 'b2']])
  second.finish()
  expect(await Promise.all(answers)).toEqual(answers.map(() => ({ profiles: 1, isDuplicate: false })))
})

test('a group has at most its profiles, and a batch is never split', async () => {
  const { ingest, group } = open({ groupProfiles: 10 })
  const answers = [ingest.submit(batchOf('b0', 1), 'strobe')]
  ;(await group(0)).finish()
  for (const [name, count] of [
    ['b1', 6],
    ['b2', 4],
    ['b3', 1],
    ['b4', 25],
  ] as const) {
    answers.push(ingest.submit(batchOf(name, count), 'strobe'))
  }
  for (const [index, names] of [['b1', 'b2'], ['b3'], ['b4']].entries()) {
    const next = await group(index + 1)
    expect(next.names).toEqual(names)
    next.finish()
  }
  await Promise.all(answers)
})

test('a retry meets the batch on its way, the ledger in memory, or the store', async () => {
  const { ingest, group, groups } = open({}, ['old'])
  const tries = [1, 2, 3].map(() => ingest.submit(batchOf('b0'), 'strobe'))
  ;(await group(0)).finish()
  expect((await Promise.all(tries)).map(answer => answer.isDuplicate)).toEqual([false, true, true])
  expect(await ingest.submit(batchOf('b0'), 'strobe')).toMatchObject({ isDuplicate: true })
  expect(await ingest.submit(batchOf('old'), 'strobe')).toMatchObject({ isDuplicate: true })
  expect(groups.length).toBe(1)
})

test('a full queue refuses with its limit and when to come again, and counts it', async () => {
  const { ingest, group, metrics } = open({ queueProfiles: 10 })
  const first = ingest.submit(batchOf('b0', 8), 'strobe')
  const refused = await ingest.submit(batchOf('b1', 3), 'strobe').catch((error: CodedError) => error)
  expect(refused).toMatchObject({
    code: 'QUEUE_FULL',
    status: 429,
    details: { limit: 10, observed: 11, retryAfterMs: 2000 },
  })
  ingest.countRefusal('strobe', 'default', refused)
  expect(await metrics.registry.getSingleMetricAsString('strobe_ingest_refused_total')).toContain(
    'protocol="strobe",code="QUEUE_FULL",tenant="default"} 1',
  )
  ;(await group(0)).finish()
  await first
  const again = ingest.submit(batchOf('b1', 3), 'strobe')
  ;(await group(1)).finish()
  expect(await again).toEqual({ profiles: 3, isDuplicate: false })
})

test('bytes are refused before they are decoded, until others are done', () => {
  const { ingest } = open({ decodingBytes: 100 })
  const release = ingest.reserve(80)
  expect(() => ingest.reserve(30)).toThrow(/80 bytes to decode wait, 30 more would pass the limit of 100/)
  ingest.reserve(20)()
  release()
  release()
  const whole = ingest.reserve(500)
  expect(() => ingest.reserve(1)).toThrow(/limit of 100/)
  whole()
})

test('a store that is away: the sender is told to come again, the batch stays', async () => {
  const { ingest, group, groups, store } = open({ answerTimeoutMs: 20 })
  store.failure = 'connect ECONNREFUSED'
  await expect(ingest.submit(batchOf('b0'), 'strobe')).rejects.toMatchObject({
    code: 'STORE_NOT_READY',
    message: expect.stringContaining('ECONNREFUSED'),
    details: { retryAfterMs: 5000 },
  })
  expect(ingest.notReadyReason()).toBe('connect ECONNREFUSED')
  const retry = ingest.submit(batchOf('b0'), 'strobe')
  ;(await group(0)).finish()
  expect(await retry).toMatchObject({ isDuplicate: true })
  expect(groups.length).toBe(1)
})

test('a group that the store refuses fails all its senders, and a retry may try again', async () => {
  const { ingest, group } = open()
  const first = ingest.submit(batchOf('b0'), 'strobe')
  ;(await group(0)).finish(new CodedError('STORE_FAILED', 'no'))
  await expect(first).rejects.toMatchObject({ code: 'STORE_FAILED' })
  const second = ingest.submit(batchOf('b0'), 'strobe')
  ;(await group(1)).finish()
  expect(await second).toMatchObject({ isDuplicate: false })
})

test('stop stores what waits and takes no more', async () => {
  const { ingest, group } = open({ groupWaitMs: 60_000 })
  const first = ingest.submit(batchOf('b0'), 'strobe')
  ;(await group(0)).finish()
  await first
  const second = ingest.submit(batchOf('b1'), 'strobe')
  await Promise.resolve()
  const stopped = ingest.stop(10_000)
  ;(await group(1)).finish()
  expect(await second).toMatchObject({ isDuplicate: false })
  await stopped
  await expect(ingest.submit(batchOf('b2'), 'strobe')).rejects.toMatchObject({ code: 'SERVER_STOPPING' })
})
