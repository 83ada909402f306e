import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { treeCpuSeconds } from '../bench/processes.ts'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

let server: TestServer
let store: StoreClient
let profile: Buffer
const copies = 14_000

beforeAll(async () => {
  server = await startTestServer({ levels: false })
  store = createStoreClient(
    { kind: 'socket', socketPath: join(server.dataDir, 'engine', 'engine.sock') },
    { requestTimeoutMs: 120_000 },
  )
  profile = await readConformance('pprof/go-cpu-labels.pb.gz')
  await server.push(profile, { service: 'large' })
  await server.push(profile, { service: 'small' })
  // The same rows again and again, a second apart: what a day of many instances brings.
  await store.command({
    query: "CREATE TABLE load_seed ENGINE = Memory AS SELECT * FROM samples WHERE service = 'large'",
  })
  for (let first = 1; first < copies; first += 2000)
    await store.command({
      query: `INSERT INTO samples SELECT * REPLACE (time - toIntervalSecond(copy) AS time) EXCEPT copy
        FROM (SELECT *, arrayJoin(range(${first}, ${first + 2000})) AS copy FROM load_seed)
        SETTINGS insert_deduplicate = 0, max_threads = 1`,
    })
})
afterAll(async () => {
  await store?.close()
  await server?.stop()
})

/** Every sample of `large`, by series: the most that one query can ask of the engine here. */
const longQuery = {
  type: 'cpu',
  query: '{service_name="large"}',
  from: 'now-23h',
  to: 'now+1m',
  group: 'label:zone',
}

function startLongQuery(signal?: AbortSignal): Promise<Response> {
  const url = new URL('api/v1/flamegraph', server.url)
  for (const [name, value] of Object.entries(longQuery)) url.searchParams.set(name, value)
  return fetch(url, signal ? { signal } : {})
}

async function runningReads(): Promise<number> {
  const result = await store.query({
    query:
      "SELECT toFloat64(count()) AS running FROM system.processes WHERE query LIKE '%FROM samples%' AND query NOT LIKE '%system.processes%'",
    format: 'JSONEachRow',
  })
  return (await result.json<{ running: number }>())[0]!.running
}

function enginePid(): number {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const isChild = readFileSync(`/proc/${entry}/status`, 'utf8').includes(`\nPPid:\t${process.pid}\n`)
      if (isChild && readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes('strobe-engine'))
        return Number(entry)
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`no engine below ${process.pid}`)
}

/** Part of one CPU that the engine uses, over a third of a second. */
async function engineLoad(): Promise<number> {
  const pid = enginePid()
  const [startedAt, before] = [performance.now(), treeCpuSeconds(pid)]
  await new Promise(resolve => setTimeout(resolve, 330))
  return ((treeCpuSeconds(pid) - before) * 1000) / (performance.now() - startedAt)
}

/** Statements that ended because whoever asked had gone. */
async function cancelledStatements(): Promise<number> {
  const text = await (await fetch(new URL('metrics', server.url))).text()
  return [
    ...text.matchAll(/^strobe_store_statement_failures_total\{.*code="QUERY_CANCELLED"\} (\d+)$/gm),
  ].reduce((sum, [, count]) => sum + Number(count), 0)
}

test('a client that leaves stops the statement in the engine', async () => {
  const controller = new AbortController()
  const dropped = startLongQuery(controller.signal).catch((error: Error) => error.name)
  await expect.poll(runningReads, { timeout: 20_000, interval: 20 }).toBeGreaterThan(0)
  controller.abort()
  expect(await dropped).toBe('AbortError')
  await expect.poll(runningReads, { timeout: 10_000 }).toBe(0)
  await expect.poll(engineLoad, { timeout: 20_000 }).toBeLessThan(0.3)
  await expect.poll(cancelledStatements).toBeGreaterThan(0)
})

test('one long query delays neither short ones nor ingest', async () => {
  const small = { type: 'cpu', query: '{service_name="small"}', from: 'now-1h', to: 'now+1m' }
  const shortQuery = async () => {
    const { status } = await server.get('flamegraph', small)
    expect(status).toBe(200)
  }
  const ingest = async () => {
    const { status } = await server.push(profile, { service: 'other', 'label.n': String(performance.now()) })
    expect(status).toBe(200)
  }
  const timed = async (work: () => Promise<void>) => {
    const startedAt = performance.now()
    await work()
    return performance.now() - startedAt
  }
  const alone = { query: [] as number[], ingest: [] as number[] }
  const beside = { query: [] as number[], ingest: [] as number[] }
  let longest = 0
  await shortQuery()
  for (let round = 0; round < 12 && (beside.query.length < 6 || beside.ingest.length < 3); round++) {
    for (let each = 0; each < 2; each++) {
      alone.query.push(await timed(shortQuery))
      alone.ingest.push(await timed(ingest))
    }
    let isOver = false
    const long = timed(async () => {
      expect((await startLongQuery()).status).toBe(200)
      isOver = true
    })
    await expect.poll(runningReads, { timeout: 20_000, interval: 20 }).toBeGreaterThan(0)
    const repeat = async (work: () => Promise<void>, times: number[]) => {
      while (!isOver) {
        times.push(await timed(work))
      }
    }
    await Promise.all([repeat(shortQuery, beside.query), repeat(ingest, beside.ingest)])
    longest = Math.max(longest, await long)
  }
  const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1]!
  expect(beside.query.length).toBeGreaterThanOrEqual(6)
  expect(median(beside.query)).toBeLessThan(longest)
  const ratios = {
    query: median(beside.query) / median(alone.query),
    ingest: median(beside.ingest) / median(alone.ingest),
  }
  console.log(
    `beside a query of ${Math.round(longest)} ms: short ones ${ratios.query.toFixed(1)} x, ingest ${ratios.ingest.toFixed(1)} x their time alone`,
  )
  // Three of them share two CPUs.
  expect(ratios.query).toBeLessThan(10)
  expect(ratios.ingest).toBeLessThan(10)
})
