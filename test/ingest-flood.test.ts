import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WriteRequest } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  type IngestProcess,
  makeBatch,
  selectRows,
  seriesPerBatch,
  startIngestProcess,
  stopIngestProcess,
} from './ingest-process.ts'

const queueProfiles = 300
const dataDir = mkdtempSync(join(tmpdir(), 'strobe-flood-'))
let server: IngestProcess

beforeAll(async () => {
  // The requests that wait are what the queue bounds, so none of them may be told to come again before the end.
  server = await startIngestProcess(dataDir, '', '', '', { queueProfiles, answerTimeoutMs: 120_000 })
})
afterAll(async () => {
  process.kill(server.enginePid, 'SIGCONT')
  await stopIngestProcess(server)
  rmSync(dataDir, { recursive: true, force: true })
})

function residentBytes(): number {
  const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024
}

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)![1])
}

/** A batch with 64 KiB more that every reader of pprof skips: field 100 of its body. */
function makeLargeBatch(n: number): WriteRequest {
  const request = makeBatch(n)
  const body = request.bodies[0]!
  body.pprof = Buffer.concat([body.pprof, Uint8Array.of(0xa2, 6, 0x80, 0x80, 4), new Uint8Array(65_536)])
  return request
}

interface Refusal {
  code: number
  details: string
  metadata: { get(name: string): unknown[] }
}

test('while the store stands still, what passes the queue is refused with a time, and memory stays', async () => {
  const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
  await agent.write(makeBatch(0))
  process.kill(server.enginePid, 'SIGSTOP')

  const taken = new Set<number>()
  const refusals: Refusal[] = []
  const answered: Promise<void>[] = []
  const send = (n: number) => {
    const writing = agent.write(makeLargeBatch(n)).then(
      () => void taken.add(n),
      (error: Refusal) => void refusals.push(error),
    )
    answered.push(writing)
    return writing
  }
  // More at once than may wait, again and again; who is not refused is in the queue.
  const flood = async (first: number, refused: number) => {
    const before = refusals.length
    for (let n = first; n < first + 400; n++) void send(n)
    await vi.waitFor(() => expect(refusals.length).toBeGreaterThanOrEqual(before + refused), {
      timeout: 30_000,
      interval: 20,
    })
    expect(await gauge('strobe_ingest_queued_profiles')).toBeLessThanOrEqual(queueProfiles)
  }
  await flood(1, 400 - queueProfiles / seriesPerBatch)
  // The heap finds its size.
  for (let round = 1; round <= 2; round++) await flood(1_000 * round, 400)
  const before = residentBytes()
  for (let round = 3; round <= 7; round++) await flood(1_000 * round, 400)
  // They sent 130 MB.
  expect(residentBytes() - before).toBeLessThan(48 * 2 ** 20)
  for (const { code, details, metadata } of refusals) {
    expect(code).toBe(8)
    expect(details).toMatch(/QUEUE_FULL: \d+ profiles wait, \d+ more would pass the limit of 300/)
    expect(Number(metadata.get('strobe-retry-after-ms')[0])).toBeGreaterThanOrEqual(1_000)
  }

  process.kill(server.enginePid, 'SIGCONT')
  await Promise.all(answered)
  expect(taken.size + refusals.length).toBe(8 * 400)
  expect(taken.size).toBeGreaterThan(50)
  const [[profiles, sum]] = (await selectRows(
    server.store,
    'SELECT toUInt32(count()), toInt64(sum(value)) FROM profiles',
  )) as [[number, string]]
  const wanted = [0, ...taken].reduce((total, n) => total + 2_000 * n + 3, 0)
  expect([profiles, Number(sum)]).toEqual([seriesPerBatch * (taken.size + 1), wanted])
  // There is room again.
  expect(await agent.write(makeBatch(9_999))).toMatchObject({ profiles: seriesPerBatch })
  agent.close()
})
