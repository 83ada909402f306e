import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectIngest } from '@strobe/server'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  type IngestProcess,
  makeBatch,
  selectRows,
  seriesPerBatch,
  startIngestProcess,
  stopIngestProcess,
} from './ingest-process.ts'
import { isAlive } from './server-process.ts'

let dataDir: string
let server: IngestProcess | null = null

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'strobe-crash-'))
})

afterEach(async () => {
  if (server) await stopIngestProcess(server)
  server = null
  rmSync(dataDir, { recursive: true, force: true })
})

/** Each of the batches is in every table once, and no other is. */
async function expectOnce(batches: number[]) {
  const names = (n: number) => `host-${n}`
  const perHost = await selectRows(
    server!.store,
    `SELECT labels['host_name'] AS host, toUInt32(sum(profiles)) AS profiles, toInt32(sum(value)) AS value FROM
      (SELECT series_id, count() AS profiles, sum(value) AS value FROM profiles GROUP BY series_id) p
      JOIN (SELECT series_id, any(labels) AS labels FROM series GROUP BY series_id) s USING series_id
      GROUP BY host ORDER BY host`,
  )
  const sorted = [...batches].sort((a, b) => (names(a) < names(b) ? -1 : 1))
  expect(perHost).toEqual(sorted.map(n => [names(n), seriesPerBatch, 2000 * n + 3]))
  const total = batches.reduce((sum, n) => sum + 2000 * n + 3, 0)
  // An idle series has a profile and no samples.
  expect(
    await selectRows(
      server!.store,
      `SELECT (SELECT toInt32(sum(value)) FROM samples), (SELECT toUInt32(count()) FROM samples),
        (SELECT toInt32(sum(value)) FROM totals_1m), (SELECT toUInt32(sum(profiles)) FROM totals_1m),
        (SELECT toUInt32(uniqExact(batch_id)) FROM batches),
        (SELECT toUInt32(count()) FROM samples WHERE stack_id NOT IN (SELECT stack_id FROM stacks))`,
    ),
  ).toEqual([[total, 4 * batches.length, total, seriesPerBatch * batches.length, batches.length, 0]])
}

test('batches are stored once whichever group their retry meets', async () => {
  server = await startIngestProcess(dataDir)
  const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
  const together = async (...numbers: number[]) =>
    (await Promise.all(numbers.map(n => agent.write(makeBatch(n))))).map(answer => answer.duplicate)
  expect(await together(5, 1)).toEqual([false, false])
  expect(await together(1, 2)).toEqual([true, false])
  expect((await together(3, 3, 3)).filter(duplicate => !duplicate)).toHaveLength(1)
  await expectOnce([5, 1, 2, 3])
  agent.close()

  await stopIngestProcess(server)
  server = await startIngestProcess(dataDir)
  const again = connectIngest(`127.0.0.1:${server.grpcPort}`)
  const answers = await Promise.all([2, 4].map(n => again.write(makeBatch(n))))
  expect(answers.map(answer => answer.duplicate)).toEqual([true, false])
  await expectOnce([5, 1, 2, 3, 4])
  again.close()
})

for (const step of ['journaled', 'inserted', 'recorded']) {
  test(`kill -9 of the server after a group was ${step}: the retry finds one copy`, async () => {
    server = await startIngestProcess(dataDir, step)
    const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
    await expect(agent.write(makeBatch(1))).rejects.toMatchObject({ code: 14 })
    agent.close()
    await server.ended
    await server.store.close()
    expect(readdirSync(join(dataDir, 'journal')).filter(name => name.endsWith('.group'))).toHaveLength(1)

    server = await startIngestProcess(dataDir)
    expect(readdirSync(join(dataDir, 'journal')).filter(name => name.endsWith('.group'))).toHaveLength(0)
    await expectOnce([1])
    const retry = connectIngest(`127.0.0.1:${server.grpcPort}`)
    const answers = await Promise.all([1, 2].map(n => retry.write(makeBatch(n))))
    expect(answers.map(answer => answer.duplicate)).toEqual([true, false])
    await expectOnce([1, 2])
    retry.close()
  })
}

test('kill -9 of the engine during ingest: senders wait, every profile is there once', async () => {
  server = await startIngestProcess(dataDir)
  const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
  const numbers = Array.from({ length: 60 }, (_, n) => n + 1)
  const answered: number[] = []
  const writing = numbers.map(async n => {
    await agent.write(makeBatch(n))
    answered.push(n)
  })
  await vi.waitFor(() => expect(answered.length).toBeGreaterThan(5), { timeout: 30_000, interval: 5 })
  expect(answered.length).toBeLessThan(numbers.length)
  process.kill(server.enginePid, 'SIGKILL')
  await Promise.all(writing)
  await expectOnce(numbers)
  agent.close()
})

test('kill -9 of the server during ingest: all that was acknowledged, and all that is retried, is there once', async () => {
  server = await startIngestProcess(dataDir)
  const { enginePid } = server
  const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
  const numbers = Array.from({ length: 60 }, (_, n) => n + 1)
  const answered = new Set<number>()
  const writing = Promise.allSettled(numbers.map(n => agent.write(makeBatch(n)).then(() => answered.add(n))))
  await vi.waitFor(() => expect(answered.size).toBeGreaterThan(5), { timeout: 30_000, interval: 5 })
  server.child.kill('SIGKILL')
  await writing
  agent.close()
  await server.ended
  await server.store.close()
  expect(answered.size).toBeLessThan(numbers.length)

  server = await startIngestProcess(dataDir)
  await vi.waitFor(() => expect(isAlive(enginePid)).toBe(false), { timeout: 10_000 })
  const again = connectIngest(`127.0.0.1:${server.grpcPort}`)
  const answers = await Promise.all(numbers.map(n => again.write(makeBatch(n))))
  for (const n of answered) expect(answers[n - 1]).toMatchObject({ duplicate: true })
  await expectOnce(numbers)
  again.close()
})
