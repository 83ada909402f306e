import { gzipSync } from 'node:zlib'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  credentials,
  type Metadata,
  makeGenericClientConstructor,
  type Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { encodePprof, type Profile } from '@strobe/profile'
import {
  type HeartbeatRequest,
  HeartbeatRequestSchema,
  type HeartbeatResponse,
  type WriteRequest,
  WriteRequestSchema,
  type WriteResponse,
} from '@strobe/proto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { CodedError } from '../../errors.ts'
import type { EncodedBatch } from '../../storage/batch-encoder.ts'
import { openSeen, readIngestRows } from '../../storage/testing.ts'
import type { AgentRow } from '../../storage/write-agents.ts'
import type { Ingest } from '../pipeline.ts'
import { RequestDecoder } from '../request-decoder.ts'
import { defaultIngestSettings } from '../settings.ts'
import { createGrpcServer, profileIngestService } from './handler.ts'

const nowMs = Date.UTC(2026, 10, 25)
let submitted: EncodedBatch[] = []
let heartbeats: AgentRow[] = []
let refusals: string[] = []
let answer: () => Promise<{ profiles: number; isDuplicate: boolean }>
const settings = {
  ...defaultIngestSettings(),
  limits: { ...defaultIngestSettings().limits, maxBatchProfiles: 5, maxUnpackedBytes: 10_000 },
}
const { seen, scopes } = openSeen()
const decoder = new RequestDecoder(seen, scopes)
const ingest: Ingest = {
  settings,
  settingsOf: () => settings,
  enter: () => () => {},
  decode: async request => decoder.decode({ ...request, retention: 0, settings }),
  async submit(batch) {
    submitted.push(batch)
    return answer()
  },
  findKnown: async (_tenant, batchId) =>
    Buffer.from(batchId).toString().startsWith('known') ? { profiles: 3, isDuplicate: true } : null,
  reserve: () => () => {},
  async heartbeat(_tenant, agent) {
    heartbeats.push(agent)
  },
  countRefusal: (_protocol, _tenant, error) => {
    refusals.push((error as CodedError).code)
  },
  notReadyReason: () => '',
  stop: async () => {},
}

type Unary<I, O> = (request: I, callback: (error: ServiceError | null, response?: O) => void) => void
let server: Server
let client: {
  Write: Unary<WriteRequest, WriteResponse>
  Heartbeat: Unary<HeartbeatRequest, HeartbeatResponse>
  close(): void
}

beforeAll(async () => {
  server = createGrpcServer(ingest, { now: () => nowMs })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  const Client = makeGenericClientConstructor(profileIngestService, 'ProfileIngest')
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure()) as unknown as typeof client
})

afterAll(() => {
  client.close()
  server.forceShutdown()
})

beforeEach(() => {
  submitted = []
  heartbeats = []
  refusals = []
  answer = async () => ({ profiles: submitted.at(-1)!.profiles, isDuplicate: false })
})

const call = <I, O>(method: Unary<I, O>, request: I) =>
  new Promise<O>((resolve, reject) =>
    method.call(client, request, (error, response) => (error ? reject(error) : resolve(response!))),
  )

/** Samples as [series or -1 for no label, value of alloc_space, value of alloc_objects]. */
function pprofOf(...samples: [series: number, space: number, objects: number][]): Uint8Array {
  const labelled = samples.filter(([series]) => series >= 0)
  const labelOffset = [0]
  for (const [series] of samples) labelOffset.push(labelOffset.at(-1)! + (series >= 0 ? 1 : 0))
  const profile: Profile = {
    sampleTypes: [
      { type: 'alloc_space', unit: 'bytes' },
      { type: 'alloc_objects', unit: 'count' },
    ],
    defaultSampleType: '',
    periodType: { type: 'space', unit: 'bytes' },
    period: 1n,
    timeNanos: 0n,
    durationNanos: 0n,
    comments: [],
    mappings: [],
    functions: [{ name: 'main', systemName: 'main', file: '', startLine: 0 }],
    locationAddress: new BigUint64Array(1),
    locationMapping: Int32Array.of(-1),
    lineOffset: Uint32Array.of(0, 1),
    lineFunction: Int32Array.of(0),
    lineNumber: Uint32Array.of(1),
    stackOffset: Uint32Array.from({ length: samples.length + 1 }, (_, index) => index),
    stackLocation: new Uint32Array(samples.length),
    values: BigInt64Array.from(samples.flatMap(([, space, objects]) => [BigInt(space), BigInt(objects)])),
    labelOffset: Uint32Array.from(labelOffset),
    labelKey: new Uint32Array(labelled.length),
    labelString: new Int32Array(labelled.length).fill(-1),
    labelNumber: BigInt64Array.from(labelled.map(([series]) => BigInt(series))),
    labelUnit: new Int32Array(labelled.length).fill(-1),
    labelStrings: ['strobe_series'],
  }
  return encodePprof(profile)
}

type SeriesInit = NonNullable<
  NonNullable<MessageInitShape<typeof WriteRequestSchema>['bodies']>[number]['series']
>[number]
const series = (more: SeriesInit = {}): SeriesInit => ({
  labels: [{ name: 'service_name', value: 'api' }],
  profileName: 'memory',
  timeUnixNanos: BigInt(nowMs - 10_000) * 1_000_000n,
  durationNanos: 10_000_000_000n,
  ...more,
})
const request = (pprof: Uint8Array, list: SeriesInit[], batchId = 'b'.repeat(16)) =>
  create(WriteRequestSchema, { batchId: Buffer.from(batchId), bodies: [{ pprof, series: list }] })

test('samples go to the series they name, each with its own value column', async () => {
  const pprof = gzipSync(pprofOf([1, 10, 1], [-1, 20, 2], [1, 30, 3], [0, 40, 4]))
  const response = await call(
    client.Write,
    request(pprof, [
      series(),
      series({ sampleTypeIndex: 1, expected: 7n, lost: 1n }),
      series({ truncated: 2n }),
    ]),
  )
  expect(response).toMatchObject({ profiles: 3, duplicate: false })
  const { batchId, tenant } = submitted[0]!
  expect([Buffer.from(batchId).toString(), tenant]).toEqual(['b'.repeat(16), 'default'])
  const profiles = readIngestRows(submitted[0]!)
  expect(profiles.map(({ values }) => values)).toEqual([[60n], [4n], []])
  // A counter with a window is what the window added.
  expect(profiles.map(({ type }) => type)).toEqual([
    'memory:alloc_space:bytes:space:bytes:delta',
    'memory:alloc_objects:count:space:bytes:delta',
    'memory:alloc_space:bytes:space:bytes:delta',
  ])
  expect(profiles[1]).toMatchObject({
    expected: 7n,
    lost: 1n,
    timeMs: nowMs - 10_000,
    durationNs: 10_000_000_000n,
    flags: 0,
  })
})

test('a known batch is answered without a look into its bodies', async () => {
  expect(
    await call(client.Write, request(Buffer.from('not pprof'), [series()], 'known batch 0001')),
  ).toMatchObject({
    profiles: 3,
    duplicate: true,
  })
  expect(submitted).toEqual([])
})

const day = 86_400_000
const refused: [name: string, request: () => WriteRequest, code: string, message: RegExp][] = [
  [
    'a short batch id',
    () => request(pprofOf([0, 1, 1]), [series()], 'short'),
    'BATCH_INVALID',
    /batch_id has 5 bytes, it must have 16/,
  ],
  [
    'a sample of a series not listed',
    () => request(pprofOf([2, 1, 1]), [series(), series()]),
    'BATCH_INVALID',
    /bodies\[0\]: a sample names series 2, the list has 2/,
  ],
  [
    'a body without series',
    () => request(pprofOf([0, 1, 1]), []),
    'BATCH_INVALID',
    /series 0, the list has 0/,
  ],
  [
    'a value column that is not there',
    () => request(pprofOf([0, 1, 1]), [series({ sampleTypeIndex: 2 })]),
    'BATCH_INVALID',
    /sample_type_index is 2, the body has 2/,
  ],
  [
    'no profile name',
    () => request(pprofOf([0, 1, 1]), [series({ profileName: '' })]),
    'BATCH_INVALID',
    /profile_name is empty/,
  ],
  [
    'too many profiles',
    () =>
      request(
        pprofOf([0, 1, 1]),
        Array.from({ length: 6 }, () => series()),
      ),
    'PROFILES_TOO_MANY',
    /6 profiles, the limit is 5/,
  ],
  ['a broken body', () => request(Buffer.from([0x1f, 0x8b, 8, 0]), [series()]), 'PROFILE_MALFORMED', /gzip/],
  [
    'a bomb',
    () => request(gzipSync(Buffer.alloc(20_000)), [series()]),
    'UNPACKED_TOO_LARGE',
    /more than 10000 bytes/,
  ],
  [
    'an old time',
    () => request(pprofOf([0, 1, 1]), [series({ timeUnixNanos: BigInt(nowMs - 15 * day) * 1_000_000n })]),
    'TIME_OUT_OF_WINDOW',
    /starts at 2026-11-10T00:00:00.000Z and was received at 2026-11-25T00:00:00.000Z/,
  ],
]
for (const [name, build, code, message] of refused) {
  test(`${name} is refused, never to be tried again`, async () => {
    const error = (await call(client.Write, build()).catch((caught: unknown) => caught)) as ServiceError
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.details).toMatch(message)
    expect(error.metadata.get('strobe-error-code')).toEqual([code])
    expect(error.metadata.get('strobe-retry-after-ms')).toEqual([])
    expect(submitted).toEqual([])
    expect(refusals).toEqual([code])
  })
}

test('two bodies share one limit of unpacked bytes', async () => {
  const half = gzipSync(Buffer.concat([pprofOf([0, 1, 1]), unknownField(6_000)]))
  const one = request(half, [series()])
  expect(await call(client.Write, one)).toMatchObject({ profiles: 1 })
  const two = create(WriteRequestSchema, { ...one, bodies: [one.bodies[0]!, one.bodies[0]!] })
  await expect(call(client.Write, two)).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining('UNPACKED_TOO_LARGE: the body unpacks to more than 10000 bytes'),
  })
})

/** Field 100 of a message, of that many bytes; readers skip it. */
function unknownField(length: number): Uint8Array {
  return Buffer.concat([Buffer.from([0xa2, 0x06, (length & 127) | 128, length >> 7]), Buffer.alloc(length)])
}

const later: [code: 'QUEUE_FULL' | 'STORE_NOT_READY', status: number][] = [
  ['QUEUE_FULL', status.RESOURCE_EXHAUSTED],
  ['STORE_NOT_READY', status.UNAVAILABLE],
]
for (const [code, expected] of later) {
  test(`${code} says when to come again`, async () => {
    answer = async () => {
      throw new CodedError(code, 'later', { retryAfterMs: 1234 })
    }
    const error = (await call(client.Write, request(pprofOf([0, 1, 1]), [series()])).catch(
      (caught: unknown) => caught,
    )) as ServiceError & { metadata: Metadata }
    expect(error.code).toBe(expected)
    expect(error.metadata.get('strobe-retry-after-ms')).toEqual(['1234'])
  })
}

test('a heartbeat is kept whole and told its interval', async () => {
  const response = await call(
    client.Heartbeat,
    create(HeartbeatRequestSchema, {
      host: 'h1',
      version: '1.0',
      kernel: '6.1',
      state: 'degraded',
      reason: 'no BTF',
      startedUnixNanos: BigInt(nowMs) * 1_000_000n,
      counters: { samples: 2n ** 63n },
      checks: [{ name: 'btf', ok: false, detail: 'd', fix: 'f' }],
    }),
  )
  expect(response.heartbeatIntervalMs).toBe(15_000)
  expect(heartbeats).toEqual([
    {
      host: 'h1',
      version: '1.0',
      kernel: '6.1',
      state: 'degraded',
      reason: 'no BTF',
      startedAtMs: nowMs,
      counters: { samples: '9223372036854775808' },
      checks: [{ name: 'btf', ok: false, detail: 'd', fix: 'f' }],
      lastSeenMs: nowMs,
    },
  ])
  await expect(
    call(client.Heartbeat, create(HeartbeatRequestSchema, { host: 'h1', state: 'fine' })),
  ).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
  })
})
