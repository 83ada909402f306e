import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { AgentMetrics } from '../metrics.ts'
import { BackOff } from './back-off.ts'
import { type HeartbeatFacts, runHeartbeats } from './heartbeat.ts'
import { IngestClient } from './ingest-client.ts'
import { encodePipeMessage, PipeDecoder } from './pipe-protocol.ts'
import { Shipper } from './shipper.ts'
import { Spool } from './spool.ts'
import { type Move, startTestServer } from './test-server.ts'

let folder: string
const closers: (() => void | Promise<void>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-spool-'))
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await rm(folder, { recursive: true })
})

async function startServer(moves: Move[], port = 0) {
  const server = await startTestServer(moves, port)
  closers.push(server.stop)
  return server
}

async function startShipper(address: string, options: { spoolBytes?: number; callTimeoutMs?: number } = {}) {
  const metrics = new AgentMetrics()
  const spool = await Spool.open(folder, options.spoolBytes ?? 1 << 20, () =>
    metrics.add('batches_dropped_spool_full'),
  )
  const client = new IngestClient(address, options.callTimeoutMs ?? 5000)
  const states: string[] = []
  const shipper = new Shipper({
    ...{ client, spool, metrics, backOff: new BackOff(20, 100) },
    onState: failure => states.push(failure),
  })
  closers.push(() => client.close())
  return { shipper, metrics, spool, states, close: (deadlineMs = 5000) => shipper.close(deadlineMs) }
}

function batch(byte: number, bytes = 10): WriteRequest {
  const body = { pprof: new Uint8Array(bytes), series: [] }
  return create(WriteRequestSchema, { batchId: new Uint8Array(16).fill(byte), bodies: [body] })
}

const ids = (...bytes: number[]) => bytes.map(byte => Buffer.alloc(16, byte).toString('hex'))
const files = async () => (await readdir(folder)).sort()

test('a server that is away gets the batch later, once, and the spool empties', async () => {
  const server = await startServer([{ code: status.UNAVAILABLE }, { code: status.UNAVAILABLE }])
  const { shipper, metrics, states, close } = await startShipper(server.address)
  await shipper.put(batch(1))
  await vi.waitFor(() => expect(metrics.get('batches_sent')).toBe(1))
  await close()
  expect(server.calls.map(call => call.id)).toEqual(ids(1, 1, 1))
  expect([...server.stored]).toEqual([[ids(1)[0], 1]])
  expect(metrics.get('batches_retried')).toBe(2)
  expect(states).toEqual(['UNAVAILABLE: by the test', ''])
  expect(await files()).toEqual([])
})

test('the wait that the server asks for is kept', async () => {
  const server = await startServer([{ code: status.RESOURCE_EXHAUSTED, retryAfterMs: 400 }])
  const { shipper, metrics, close } = await startShipper(server.address)
  await shipper.put(batch(1))
  await vi.waitFor(() => expect(metrics.get('batches_sent')).toBe(1), { timeout: 5000 })
  await close()
  expect(server.calls[1]!.atMs - server.calls[0]!.atMs).toBeGreaterThanOrEqual(400)
})

test('a lost acknowledgement is retried with the same id and known as a duplicate', async () => {
  const server = await startServer(['lose'])
  const { shipper, metrics, close } = await startShipper(server.address, { callTimeoutMs: 200 })
  await shipper.put(batch(1))
  await vi.waitFor(() => expect(metrics.get('batches_duplicate')).toBe(1), { timeout: 5000 })
  await close()
  expect([...server.stored.values()]).toEqual([1])
})

test('what a stopped agent could not send comes from its next start, in order', async () => {
  const server = await startServer([])
  server.stop()
  const first = await startShipper(server.address)
  for (const byte of [1, 2, 3]) await first.shipper.put(batch(byte))
  const begin = performance.now()
  await first.close(100)
  expect(performance.now() - begin).toBeLessThan(2000)
  expect(await files()).toHaveLength(3)
  await writeFile(join(folder, `${'9'.padStart(16, '0')}-${ids(9)[0]}.tmp`), 'cut short')

  const again = await startServer([], server.port)
  const second = await startShipper(again.address)
  await second.shipper.put(batch(4))
  await second.close()
  expect(again.calls.map(call => call.id)).toEqual(ids(1, 2, 3, 4))
  expect(await files()).toEqual([])
})

test('each reason is told once, in the words of the server', async () => {
  const limited = { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1, errorCode: 'RATE_LIMITED' }
  const server = await startServer([
    limited,
    limited,
    { code: status.UNAUTHENTICATED, errorCode: 'UNAUTHENTICATED' },
  ])
  const { shipper, metrics, states, close } = await startShipper(server.address)
  await shipper.put(batch(1))
  await vi.waitFor(() => expect(metrics.get('batches_sent')).toBe(1))
  await close()
  expect(states).toEqual(['RESOURCE_EXHAUSTED: by the test', 'UNAUTHENTICATED: by the test', ''])
})

test('a full spool drops the oldest batches and counts them', async () => {
  const server = await startServer([])
  server.stop()
  const { shipper, metrics, spool, close } = await startShipper(server.address, { spoolBytes: 3500 })
  for (const byte of [1, 2, 3, 4, 5]) await shipper.put(batch(byte, 1000))
  expect(metrics.get('batches_dropped_spool_full')).toBe(2)
  expect(spool.bytes).toBeLessThanOrEqual(3500)
  await close(0)
  // The batch being sent is kept: dropping it would not stop it from arriving.
  expect((await files()).map(name => name.slice(17, 49))).toEqual(ids(1, 4, 5))
})

test('a refused batch and a damaged file are dropped, counted, and do not hold up the next', async () => {
  await writeFile(join(folder, `${'1'.padStart(16, '0')}-${ids(9)[0]}.batch`), 'no protobuf at all')
  const server = await startServer([{ code: status.INVALID_ARGUMENT }])
  const { shipper, metrics, close } = await startShipper(server.address)
  await shipper.put(batch(1))
  await shipper.put(batch(2))
  await close()
  expect(server.calls.map(call => call.id)).toEqual(ids(1, 2))
  expect(metrics.snapshot()).toEqual({
    batches_dropped_corrupt: 1,
    batches_dropped_refused: 1,
    batches_sent: 1,
  })
})

test('heartbeats tell state, counters and checks', async () => {
  const server = await startServer([])
  const client = new IngestClient(server.address, 5000)
  closers.push(() => client.close())
  const stop = new AbortController()
  const facts: HeartbeatFacts = {
    ...{
      host: 'h',
      version: '1',
      kernel: '6.1',
      state: 'cannot_profile',
      reason: 'no BTF',
      startedUnixNanos: 5n,
    },
    ...{ counters: { samples: 3, broken: Number.NaN } },
    checks: [{ name: 'btf', ok: false, required: true, detail: 'missing', fix: 'give --btf' }],
  }
  const running = runHeartbeats({
    ...{ client, facts: () => facts, intervalMs: 20, metrics: new AgentMetrics(), signal: stop.signal },
    onFailure: () => {},
  })
  await vi.waitFor(() => expect(server.heartbeats.length).toBeGreaterThan(1))
  stop.abort()
  await running
  expect(server.heartbeats[0]).toMatchObject({
    ...{ host: 'h', state: 'cannot_profile', reason: 'no BTF', counters: { samples: 3n } },
    checks: [{ name: 'btf', ok: false, detail: 'missing', fix: 'give --btf' }],
  })
})

test('back-off doubles to its ceiling, with at least half of it waited', () => {
  const backOff = new BackOff(100, 1000, () => 0)
  expect([1, 2, 3, 4, 5, 6].map(() => backOff.next(0))).toEqual([50, 100, 200, 400, 500, 500])
  expect(backOff.next(3000)).toBe(3500)
  backOff.reset()
  expect(backOff.next(0)).toBe(50)
})

test('messages come out of a pipe whatever its chunks', () => {
  const bytes = Buffer.concat([
    encodePipeMessage(1, Buffer.from('ready')),
    encodePipeMessage(2, new Uint8Array(0)),
    encodePipeMessage(2, new Uint8Array(300).fill(7)),
  ])
  for (const size of [1, 3, 7, 1000]) {
    const decoder = new PipeDecoder()
    const messages = []
    for (let at = 0; at < bytes.length; at += size)
      messages.push(...decoder.push(bytes.subarray(at, at + size)))
    expect(messages.map(message => [message.type, message.payload.length])).toEqual([
      [1, 5],
      [2, 0],
      [2, 300],
    ])
  }
  expect(() => new PipeDecoder().push(Buffer.from('{"level":30}'))).toThrow(
    expect.objectContaining({ code: 'PIPE_MESSAGE_INVALID' }),
  )
})
