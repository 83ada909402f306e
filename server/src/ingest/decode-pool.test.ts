import { gzipSync } from 'node:zlib'
import { toBinary } from '@bufbuild/protobuf'
import { encodePprof, groupId } from '@strobe/profile'
import { profileFromColumns } from '@strobe/profile/testing'
import { WriteRequestSchema } from '@strobe/proto'
import { afterEach, expect, test } from 'vitest'
import { makeBatch } from '../../../test/ingest-process.ts'
import { hourOf, SeenIds, seenIdsBytes } from '../storage/seen-ids.ts'
import { readIngestRows } from '../storage/testing.ts'
import type { DecodeJob } from './batch.ts'
import { createDecodePool, type DecodePool } from './decode-pool.ts'
import { defaultIngestSettings } from './settings.ts'

const nowMs = Date.UTC(2026, 10, 25)
const context = { tenant: 't', receivedAtMs: nowMs, retention: 0, settings: defaultIngestSettings() }
const seenIds = new SharedArrayBuffer(seenIdsBytes(4096))
let pool: DecodePool
let deaths: string[] = []
function open(options: { workers: number; heapBytes?: number }): DecodePool {
  deaths = []
  pool = createDecodePool({
    heapBytes: 256 * 2 ** 20,
    ...options,
    seenIds,
    onDeath: reason => deaths.push(reason),
  })
  return pool
}
afterEach(() => pool.close())

const write = (n: number): DecodeJob => ({
  ...context,
  protocol: 'strobe',
  request: toBinary(WriteRequestSchema, makeBatch(n, nowMs)),
})
const upload = (body: Uint8Array): DecodeJob => ({
  ...context,
  protocol: 'upload',
  batchId: new Uint8Array(16),
  body,
  options: { service: 'api', profileName: '', labels: [], source: '', isTimeKept: false },
})

test('requests come back as rows, however many wait for a thread', async () => {
  const { decode, state } = open({ workers: 2 })
  const answers = Array.from({ length: 20 }, (_, n) => decode(write(n)))
  expect(state()).toEqual({ workers: 2, waiting: 18 })
  for (const [n, { batch }] of (await Promise.all(answers)).entries()) {
    const rows = readIngestRows(batch)
    // As makeBatch says: 2,000 n + 3 in three series, the last one idle.
    expect(rows.map(row => row.values.reduce((sum, value) => sum + value, 0n))).toEqual([
      BigInt(1000 * n + 1),
      BigInt(1000 * n + 2),
      0n,
    ])
    expect([batch.profiles, batch.tenant, rows[0]!.timeMs <= nowMs]).toEqual([3, 't', true])
  }
  expect(state().waiting).toBe(0)
})

test('what the main thread marks as stored is left out by the others', async () => {
  const { decode } = open({ workers: 1 })
  const seen = new SeenIds(seenIds)
  const { batch: first } = await decode(write(1))
  expect(first.dimensions.map(({ table, ends }) => [table, ends.length])).toContainEqual(['stacks', 3])
  for (const { keys } of first.dimensions)
    for (let at = 0; at < keys.length; at += 2) seen.mark(keys[at]!, keys[at + 1]!, hourOf(nowMs))
  const { batch: again } = await decode(write(1))
  expect(again.dimensions).toEqual([])
  expect(readIngestRows(again)).toEqual(readIngestRows(first))
  seen.clear()
  const { batch: anew } = await decode(write(1))
  expect(anew.dimensions.length).toBe(first.dimensions.length)
  expect(anew.seenVersion).not.toBe(first.seenVersion)
})

test('series are grouped by the labels that the request comes with', async () => {
  const { decode } = open({ workers: 1 })
  const seen = new SeenIds(seenIds)
  seen.clear()
  const decodeBy = async (groupLabels: string[]) => {
    const job = write(1)
    const { batch } = await decode({ ...job, settings: { ...job.settings, groupLabels } })
    for (const { keys } of batch.dimensions)
      for (let at = 0; at < keys.length; at += 2) seen.mark(keys[at]!, keys[at + 1]!, hourOf(nowMs))
    const series = batch.dimensions.find(({ table }) => table === 'series')?.ends.length ?? 0
    return { groups: readIngestRows(batch).map(row => row.groupId), series }
  }
  const one = groupId([{ name: 'service_name', value: 'api' }])
  const own = (series: number) =>
    groupId(
      [
        { name: 'service_name', value: 'api' },
        { name: 'process', value: `p${series}` },
      ],
      ['service_name', 'process'],
    )
  expect(await decodeBy(['service_name'])).toEqual({ groups: [one, one, one], series: 3 })
  // Each series has a row for each of its groups.
  expect(await decodeBy(['service_name', 'process'])).toEqual({ groups: [own(0), own(1), own(2)], series: 3 })
  expect(await decodeBy(['service_name'])).toEqual({ groups: [one, one, one], series: 0 })
})

test('a refusal keeps its code and its facts, and the thread goes on', async () => {
  const { decode, state } = open({ workers: 1 })
  const cut = gzipSync(encodePprof(profileFromColumns('1\nmain'))).subarray(0, -9)
  await expect(decode(upload(cut))).rejects.toMatchObject({
    code: 'PROFILE_MALFORMED',
    status: 400,
    details: { cause: 'GZIP_TRUNCATED' },
  })
  expect((await decode(write(1))).batch.profiles).toBe(3)
  expect([state().workers, deaths]).toEqual([1, []])
})

test('a request that takes a thread its memory is refused, and others are not', async () => {
  const { decode } = open({ workers: 1, heapBytes: 24 * 2 ** 20 })
  // Every label of a request becomes an object: some 60 bytes of heap for two that were sent.
  const label = Uint8Array.of(10, 0)
  const series = Buffer.concat([...Array(600_000)].fill(label))
  const field = (number: number, bytes: Uint8Array) => {
    const length: number[] = []
    for (let rest = bytes.length; ; rest >>>= 7) {
      length.push((rest & 127) | (rest > 127 ? 128 : 0))
      if (rest <= 127) break
    }
    return Buffer.concat([Buffer.from([number * 8 + 2, ...length]), bytes])
  }
  const request = Buffer.concat([
    field(1, new Uint8Array(16)),
    field(2, Buffer.concat([field(1, encodePprof(profileFromColumns('1\nmain'))), field(2, series)])),
  ])
  const bad = decode({ ...context, protocol: 'strobe', request })
  const good = decode(write(1))
  await expect(bad).rejects.toMatchObject({
    code: 'DECODER_DIED',
    status: 413,
    message: expect.stringContaining('more memory than a decoder has'),
  })
  expect((await good).batch.profiles).toBe(3)
  expect(deaths).toEqual(['ERR_WORKER_OUT_OF_MEMORY'])
})

test('what waits or runs when the pool closes is told that the server stops', async () => {
  const { decode, close } = open({ workers: 1 })
  const answers = [1, 2].map(n => decode(write(n)))
  const refused = Promise.all(
    answers.map(answer => expect(answer).rejects.toMatchObject({ code: 'SERVER_STOPPING' })),
  )
  await close()
  await refused
  await expect(decode(write(3))).rejects.toMatchObject({ code: 'SERVER_STOPPING' })
  expect(deaths).toEqual([])
})
