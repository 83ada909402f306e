import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../cli/src/demo/random.ts'
import { levelNames } from '../server/src/storage/levels/level.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { makeRequest, makeService } from './fleet.ts'
import { copyDays, countProfiles, sumLevels } from './levels.ts'
import { type BenchServer, startBenchServer } from './server.ts'

interface Scale {
  trials: number
  /** Queries of one range in one trial: CPU is counted in steps of 10 ms. */
  repeats: number
  stacks: number
  /** Of the quarter of an hour that goes through the server; the rest are its copies. */
  windowSeconds: number
  /** Quarters of an hour in the store. */
  quarters: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { trials: 5, repeats: 4, stacks: 9000, windowSeconds: 10, quarters: 97 },
  smoke: { trials: 1, repeats: 1, stacks: 500, windowSeconds: 300, quarters: 5 },
}
const instances = 50
const quarterMs = 900_000
const type = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'

/** What a flame graph of a service of 50 instances costs, beside the bare scan of the same rows. */
export const queryBench: Bench = async (scaleName, note) => {
  const scale = scales[scaleName]
  // Levels are summed here, when everything stands, so that their cost is known.
  const server = await startBenchServer({ levels: 'no' })
  try {
    const lastMs = Math.floor(Date.now() / quarterMs) * quarterMs - quarterMs
    await load(server, scale, lastMs)
    const rows = await countRows(server)
    note(
      `${rows} samples: one quarter of an hour of ${instances} instances sent by gRPC, copied ${scale.quarters - 1} times in the store`,
    )
    const toMs = lastMs + quarterMs
    const levels = await sumLevels(server, Date.now() + 600_000)
    await copyDays(server, 7)
    await settle(server)
    const all = '{service_name="svc"}'
    const ranges = [
      { name: '15min', query: all, fromMs: lastMs, budget: 150 },
      { name: '24h', query: all, fromMs: toMs - 86_400_000 + 400_000, budget: 250 },
      { name: '7d', query: all, fromMs: toMs - 7 * 86_400_000 + 400_000, budget: 400 },
      {
        name: '7d_region',
        query: '{service_name="svc",region="r1"}',
        fromMs: toMs - 7 * 86_400_000 + 400_000,
        budget: 1200,
      },
    ]
    const times = new Map(
      ranges.map(({ name }) => [name, { graph: [], scan: [] } as Record<string, number[]>]),
    )
    for (const { query, fromMs } of ranges) await readFlamegraph(server, query, fromMs, toMs)
    await server.eventLoopDelayMs()
    const delays: number[] = []
    for (let trial = 0; trial < scale.trials; trial++) {
      for (const { name, query, fromMs } of ranges) {
        const { graph, scan } = times.get(name)!
        const cost = async (read: () => Promise<unknown>) => {
          const before = server.cpuSeconds()
          for (let repeat = 0; repeat < scale.repeats; repeat++) await read()
          return ((server.cpuSeconds() - before) * 1000) / scale.repeats
        }
        await server.eventLoopDelayMs()
        graph!.push(await cost(() => readFlamegraph(server, query, fromMs, toMs)))
        delays.push(await server.eventLoopDelayMs())
        scan!.push(await cost(() => scanBare(server, fromMs, toMs)))
      }
    }
    const figures: Figure[] = [figure('stored_samples', 'samples', [rows])]
    for (const [name, { cpuSeconds, rows: written }] of Object.entries(levels))
      figures.push(
        figure(`sum_${name}_per_cpu_second`, 'samples', [rows / Math.max(0.01, cpuSeconds)]),
        figure(`${name}_rows`, 'rows', [written]),
      )
    for (const { name, budget } of ranges) {
      const { graph, scan } = times.get(name)!
      figures.push(
        figure(`flamegraph_${name}_cpu`, 'ms', graph!, `<= ${budget}`),
        figure(`bare_scan_${name}_cpu`, 'ms', scan!),
      )
    }
    figures.push(figure('event_loop_delay_p99', 'ms', delays))
    return figures
  } finally {
    await server.stop()
  }
}

async function load(server: BenchServer, scale: Scale, startMs: number): Promise<void> {
  const random = seededRandom(7)
  // Each of two versions has its own stacks.
  const service = makeService('svc', scale.stacks / 2, 7)
  const windows = quarterMs / 1000 / scale.windowSeconds
  function* requests() {
    for (let at = 0; at < windows; at++)
      yield makeRequest(
        Array.from({ length: instances }, (_, instance) => ({
          service,
          instance,
          version: instance % 2 === 0 ? 'v1' : 'v2',
          startMs: startMs + at * scale.windowSeconds * 1000,
          seconds: scale.windowSeconds,
          stacks: Math.round(184 * (0.7 + 0.6 * random())),
          random,
        })),
      )
  }
  await server.write(requests(), 8)
  // The same quarter again and again: more rows of known stacks and series, which is what a day brings.
  for (const table of ['samples', 'profiles', 'totals_1m'])
    for (let first = 1; first < scale.quarters; first += 8)
      await server.store.command({
        query: `INSERT INTO ${table} SELECT * REPLACE (time - toIntervalSecond(900 * quarter) AS time) EXCEPT quarter
          FROM (SELECT *, arrayJoin(range(${first}, ${Math.min(first + 8, scale.quarters)})) AS quarter FROM ${table}
            WHERE time >= fromUnixTimestamp(${startMs / 1000})) SETTINGS insert_deduplicate = 0`,
      })
  await countProfiles(server)
  await settle(server)
}

/** Until no merge runs: its CPU is not the query's. */
async function settle(server: BenchServer): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until; await sleep(250)) {
    const result = await server.store.query({
      query: 'SELECT toFloat64(count()) AS running FROM system.merges',
      format: 'JSONEachRow',
    })
    if ((await result.json<{ running: number }>())[0]!.running === 0) break
  }
  for (const table of ['samples', 'profiles', 'totals_1m', 'totals_10m', 'level_state', ...levelNames])
    await server.store.command({ query: `SYSTEM STOP MERGES ${table}` })
}

async function countRows(server: BenchServer): Promise<number> {
  const result = await server.store.query({
    query: 'SELECT toFloat64(count()) AS rows FROM samples',
    format: 'JSONEachRow',
  })
  return (await result.json<{ rows: number }>())[0]!.rows
}

async function readFlamegraph(
  server: BenchServer,
  query: string,
  fromMs: number,
  toMs: number,
): Promise<void> {
  const url = new URL('api/v1/flamegraph', server.url)
  const parameters = { type: 'cpu', query, from: String(fromMs), to: String(toMs) }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  const response = await fetch(url)
  const answer = (await response.json()) as { total?: number }
  if (!response.ok || !answer.total) throw new Error(`the flame graph is empty: ${JSON.stringify(answer)}`)
}

/** The same rows and columns, read and thrown away: no way of grouping can be cheaper. */
async function scanBare(server: BenchServer, fromMs: number, toMs: number): Promise<void> {
  const result = await server.store.query({
    query: `SELECT sum(value), max(stack_id) FROM samples
      WHERE tenant = 'default' AND service = 'svc' AND type = '${type}'
        AND toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp(${fromMs / 1000}))
        AND time >= fromUnixTimestamp(${fromMs / 1000}) AND time < fromUnixTimestamp(${toMs / 1000})`,
    format: 'JSONEachRow',
  })
  await result.json()
}
