import { decodePprof, encodePprof, murmur3x86x128, type Profile, resolveStacks } from '@strobe/profile'
import { expect, test } from 'vitest'
import { CodedError } from '../errors.ts'
import { createServerMetrics } from '../metrics.ts'
import type { BatchRows } from '../storage/insert.ts'
import { batchKey } from '../storage/ledger.ts'
import type { IngestBatch, IngestProfile } from './batch.ts'
import { createIngest, type IngestOptions } from './pipeline.ts'
import { defaultIngestSettings, type IngestSettings } from './settings.ts'

const cpu = { type: 'cpu', unit: 'nanoseconds' }
const oneSample: Profile = {
  sampleTypes: [cpu],
  defaultSampleType: '',
  periodType: cpu,
  period: 1n,
  timeNanos: 1n,
  durationNanos: 1n,
  comments: [],
  mappings: [],
  functions: [{ name: 'main', systemName: 'main', file: '', startLine: 0 }],
  locationAddress: new BigUint64Array(1),
  locationMapping: Int32Array.of(-1),
  lineOffset: Uint32Array.of(0, 1),
  lineFunction: Int32Array.of(0),
  lineNumber: Uint32Array.of(1),
  stackOffset: Uint32Array.of(0, 1),
  stackLocation: Uint32Array.of(0),
  values: BigInt64Array.of(5n),
  labelOffset: Uint32Array.of(0, 0),
  labelKey: new Uint32Array(0),
  labelString: new Int32Array(0),
  labelNumber: new BigInt64Array(0),
  labelUnit: new Int32Array(0),
  labelStrings: [],
}
const body = resolveStacks(decodePprof(encodePprof(oneSample)))

function profileOf(labels: Record<string, string>): IngestProfile {
  return {
    labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
    type: 'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
    timeMs: 0,
    durationNs: 1n,
    period: 1n,
    expected: 0n,
    lost: 0n,
    truncated: 0n,
    unsymbolized: 0n,
    flags: 0,
    originalTimeMs: 0,
    body,
    samples: Uint32Array.of(0),
    column: 0,
    cutSamples: 0n,
  }
}

const idOf = (name: string) => Buffer.from(name.padEnd(16, '.'))
const batchOf = (name: string, count = 1): IngestBatch => ({
  tenant: 't',
  batchId: idOf(name),
  profiles: Array.from({ length: count }, () => profileOf({ service_name: 'api' })),
})
const nameOf = (rows: BatchRows) => Buffer.from(rows.batchId).toString().replaceAll('.', '')

/** The store's side of the pipeline: groups wait until the test lets them go. */
function open(settings: Partial<IngestSettings> = {}, stored: string[] = []) {
  const groups: { names: string[]; rows: BatchRows[]; finish(error?: Error): void }[] = []
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
    write: (rows: readonly BatchRows[]) =>
      new Promise<void>((resolve, reject) => {
        const finish = (error?: Error) => {
          if (error) reject(error)
          else {
            for (const batch of rows) known.add(batchKey(batch.tenant, batch.batchId))
            resolve()
          }
        }
        groups.push({ names: rows.map(nameOf), rows: [...rows], finish })
      }),
    stop() {},
  }
  const ingest = createIngest({
    store,
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

// 32 bits of the whole name's hash: the cut one stays apart from others that begin alike.
const longNameHash = murmur3x86x128(Buffer.from('n'.repeat(201)), 0)[0]
  .toString(16)
  .padStart(8, '0')

const labelCases: [name: string, given: Record<string, string>, want: Record<string, string> | string][] = [
  [
    'names are mapped, empty values left out',
    { service_name: 'a', 'k8s-pod': 'p', x: '' },
    { k8s_pod: 'p', service_name: 'a' },
  ],
  ['OpenTelemetry names count', { 'service.name': 'a' }, { service_name: 'a' }],
  ['no service', { host_name: 'h' }, 'LABEL_INVALID'],
  ['an empty service', { service_name: '' }, 'LABEL_INVALID'],
  ['a long value', { service_name: 'a', pod: 'é'.repeat(1025) }, 'LABEL_TOO_LONG'],
  [
    'a long name is cut',
    { service_name: 'a', ['n'.repeat(201)]: 'x' },
    { service_name: 'a', [`${'n'.repeat(191)}_${longNameHash}`]: 'x' },
  ],
  [
    'too many',
    {
      service_name: 'a',
      ...Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`l${index}`, 'x'])),
    },
    'LABELS_TOO_MANY',
  ],
]
for (const [name, given, want] of labelCases) {
  test(`labels: ${name}`, async () => {
    const { ingest, group } = open()
    const answer = ingest.submit({ tenant: 't', batchId: idOf('b0'), profiles: [profileOf(given)] }, 'strobe')
    if (typeof want === 'string') {
      await expect(answer).rejects.toMatchObject({ code: want })
      return
    }
    const { rows, finish } = await group(0)
    finish()
    await answer
    expect(Object.fromEntries(rows[0]!.profiles[0]!.labels.map(label => [label.name, label.value]))).toEqual(
      want,
    )
    expect(rows[0]!.profiles[0]!.service).toBe('a')
  })
}
