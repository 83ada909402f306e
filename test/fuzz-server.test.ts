import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { decodePprof, resolveStacks } from '@strobe/profile'
import { ProfileIngest, type WriteRequest, WriteRequestSchema, WriteResponseSchema } from '@strobe/proto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'
import { pickerOf } from './fuzz/run.ts'
import { batchSchema, batchSeed, mutateMessage } from './fuzz/targets.ts'
import { pprofSchema } from './fuzz/wire-tree.ts'
import { selectRows } from './ingest-process.ts'

const seed = 20_261_125
// Accepted profiles wait for their group: many at once share one.
const parallel = 200
const memoryBytes = 600 * 2 ** 20

let server: TestServer
let store: StoreClient
let before: number[]

beforeAll(async () => {
  server = await startTestServer()
  store = createStoreClient(
    { kind: 'socket', socketPath: join(server.dataDir, 'engine', 'engine.sock') },
    { requestTimeoutMs: 30_000 },
  )
})
afterAll(async () => {
  await store?.close()
  await server?.stop()
})
beforeEach(async () => {
  before = await counts()
})

/** Profiles, batches, sum of all samples; and samples, frames whose stack, frame or function is not there. */
async function counts(): Promise<number[]> {
  const [row] = await selectRows(
    store,
    `SELECT (SELECT toFloat64(count()) FROM profiles), (SELECT toFloat64(uniqExact(batch_id)) FROM batches),
      (SELECT toFloat64(count()) FROM samples WHERE stack_id NOT IN (SELECT stack_id FROM stacks)),
      (SELECT toFloat64(count()) FROM (SELECT arrayJoin(frames) AS frame_id FROM stacks)
        WHERE frame_id NOT IN (SELECT frame_id FROM frames)),
      (SELECT toFloat64(count()) FROM frames
        WHERE function_id != 0 AND function_id NOT IN (SELECT function_id FROM functions))`,
  )
  return row as number[]
}

async function sumOf(service: string): Promise<bigint> {
  const [row] = await selectRows(
    store,
    `SELECT toString(sum(toInt128(value))) FROM samples WHERE service = '${service}'`,
  )
  return BigInt((row as [string])[0])
}

async function inParallel(count: number, work: (round: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < count) await work(next++)
    }),
  )
}

async function expectStored(profiles: number, batches: number): Promise<void> {
  const after = await counts()
  expect(after.map((count, at) => count - before[at]!)).toEqual([profiles, batches, 0, 0, 0])
  // The server takes and answers as ever.
  const pushed = await server.push(await readConformance('pprof/go-cpu-errgroup.pb.gz'), { service: 'after' })
  expect(pushed).toMatchObject({ status: 200 })
}

test('1,500 mutated uploads: what was answered is stored whole, what was refused is not', async () => {
  // Counters that only go up are stored otherwise than they come; these are not such.
  const files = [
    'go-cpu-errgroup',
    'go-inlined.cpu',
    'go-lines',
    'node-perfmap',
    'single-stack',
    'raw-native-kernel',
  ]
  const seeds = await Promise.all(
    files.map(async name => gunzipSync(await readConformance(`pprof/${name}.pb.gz`))),
  )
  const startBytes = process.memoryUsage.rss()
  const statuses: Record<number, number> = {}
  let profiles = 0
  let batches = 0
  let total = 0n
  await inParallel(1500, async round => {
    const pick = pickerOf(seed, round)
    const bytes = mutateMessage(seeds[pick(seeds.length)]!, pprofSchema, pick)
    const answer = await server.push(pick(2) === 0 ? gzipSync(bytes) : bytes, { service: 'fuzz' })
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
    if (answer.status === 200) {
      const { profiles: list } = answer.body as { profiles: { total: string }[] }
      profiles += list.length
      batches++
      for (const each of list) total += BigInt(each.total)
    } else {
      expect([400, 413, 429], `round ${round}: ${JSON.stringify(answer.body)}`).toContain(answer.status)
      expect(answer.body).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) })
    }
  })
  expect(statuses[200]).toBeGreaterThan(300)
  expect(statuses[400]).toBeGreaterThan(300)
  await expectStored(profiles, batches)
  expect(await sumOf('fuzz')).toBe(total)
  expect(process.memoryUsage.rss() - startBytes).toBeLessThan(memoryBytes)
})

test('1,500 mutated batches by gRPC: the same', async () => {
  const client = new Client(server.grpcAddress, credentials.createInsecure())
  const write = (bytes: Uint8Array) =>
    new Promise<{ profiles: number; duplicate: boolean } | ServiceError>(resolve =>
      client.makeUnaryRequest(
        `/${ProfileIngest.typeName}/Write`,
        (message: Uint8Array) => Buffer.from(message),
        (answer: Buffer) => fromBinary(WriteResponseSchema, answer),
        bytes,
        (error, answer) => resolve(error ?? answer!),
      ),
    )
  const base = fromBinary(WriteRequestSchema, batchSeed(Date.now()))
  let profiles = 0
  let refused = 0
  let total = 0n
  const ids = new Set<string>()
  await inParallel(1500, async round => {
    const pick = pickerOf(seed + 1, round)
    const batchId = Buffer.from(`fuzz ${round}`.padEnd(16, '.'))
    const bytes = mutateMessage(toBinary(WriteRequestSchema, { ...base, batchId }), batchSchema, pick)
    const answer = await write(bytes)
    if (answer instanceof Error) {
      refused++
      const code = String(answer.metadata.get('strobe-error-code')[0] ?? '')
      // grpc-js itself answers for bytes that are no message.
      const isExpected =
        (code !== '' && answer.code === status.INVALID_ARGUMENT) ||
        (answer.code === status.INTERNAL && /deserializing request/.test(answer.details))
      expect(isExpected, `round ${round}: ${answer.code} ${answer.details}`).toBe(true)
      return
    }
    const request = fromBinary(WriteRequestSchema, bytes)
    const key = Buffer.from(request.batchId).toString('hex')
    // A byte of one id may have become another's.
    if (answer.duplicate) return
    ids.add(key)
    profiles += answer.profiles
    total += totalOf(request)
  })
  client.close()
  expect(ids.size).toBeGreaterThan(300)
  expect(refused).toBeGreaterThan(300)
  await expectStored(profiles, ids.size)
  const stored = await selectRows(
    store,
    `SELECT toString(sum(toInt128(value))) FROM samples WHERE service NOT IN ('fuzz', 'after')`,
  )
  expect(BigInt((stored[0] as [string])[0])).toBe(total)
})

/** Over the series of a request, of the column that each names. */
function totalOf(request: WriteRequest): bigint {
  let total = 0n
  for (const { pprof, series } of request.bodies) {
    const body = resolveStacks(decodePprof(pprof))
    const width = body.sampleStack.length === 0 ? 1 : body.values.length / body.sampleStack.length
    for (const [sample, index] of body.sampleSeries.entries())
      total += body.values[sample * width + series[index]!.sampleTypeIndex]!
  }
  return total
}
