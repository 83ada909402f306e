import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../cli/src/demo/random.ts'
import { type LevelName, levelNames } from '../server/src/storage/levels/level.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { makeRequest, makeService } from './fleet.ts'
import { copyBack, countProfiles, sumLevels } from './levels.ts'
import { type BenchServer, startBenchServer } from './server.ts'

/** One request: the first word of its name is the route. */
interface Range {
  name: string
  query: string
  /** As the API takes them. */
  from: string
  to: string
  /** What its bare scan reads. */
  table: 'samples' | LevelName
  budget: number | null
}

interface Scale {
  trials: number
  /** Queries of one range in one trial: CPU is counted in steps of 10 ms. */
  repeats: number
  stacks: number
  /** Of the quarter of an hour that goes through the server; the rest are its copies. */
  windowSeconds: number
  /** Blocks of two hours, copied back from the last whole ones. */
  blocks: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { trials: 3, repeats: 3, stacks: 9000, windowSeconds: 10, blocks: 84 },
  smoke: { trials: 1, repeats: 1, stacks: 500, windowSeconds: 300, blocks: 84 },
}
const instances = 50
const quarterMs = 900_000
const type = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'

/** What flame graphs and functions of a service of 50 instances cost, beside the bare scan of the same rows. */
export const queryBench: Bench = async (scaleName, note) => {
  const scale = scales[scaleName]
  // Levels are summed here, when everything stands, so that their cost is known.
  const server = await startBenchServer({ levels: 'no' })
  try {
    const lastMs = Math.floor(Date.now() / quarterMs) * quarterMs - quarterMs
    const blockMs = Math.floor((lastMs + quarterMs) / 3_600_000 - 2) * 3_600_000
    await load(server, scale, lastMs, (lastMs - blockMs) / quarterMs + 1)
    const rows = await countRows(server)
    note(
      `${rows} samples: one quarter of an hour of ${instances} instances sent by gRPC and copied in the store, over two hours; their levels copied back over a week, samples at the ends of the ranges alone`,
    )
    const toMs = lastMs + quarterMs
    const levels = await sumLevels(server, Date.now() + 600_000)
    // The day and the week end in the first and the last of these.
    const withSamples = [1, 11, 12, 83, 84]
    await copyBack(server, blockMs / 1000, blockMs / 1000 + 7200, scale.blocks, withSamples)
    await settle(server)
    const all = '{service_name="svc"}'
    const region = '{service_name="svc",region="r1"}'
    const now = { to: 'now' }
    const quarter = { from: String(lastMs), to: String(toMs) }
    // As it comes from a chart: neither end is a whole period.
    const drawn = { from: String(toMs - 86_400_000 + 400_000), to: String(toMs) }
    const ranges: Range[] = [
      { name: 'flamegraph_15min', query: all, ...quarter, table: 'samples', budget: 150 },
      { name: 'flamegraph_24h', query: all, from: 'now-24h', ...now, table: 'group_1h', budget: 250 },
      { name: 'flamegraph_24h_drawn', query: all, ...drawn, table: 'group_1h', budget: 250 },
      { name: 'flamegraph_7d', query: all, from: 'now-7d', ...now, table: 'group_1h', budget: 400 },
      {
        name: 'flamegraph_7d_region',
        query: region,
        from: 'now-7d',
        ...now,
        table: 'series_1h',
        budget: 1200,
      },
      { name: 'functions_24h', query: all, from: 'now-24h', ...now, table: 'functions_1h', budget: null },
      { name: 'functions_7d', query: all, from: 'now-7d', ...now, table: 'functions_1h', budget: null },
    ]
    const times = new Map(
      ranges.map(({ name }) => [name, { graph: [], scan: [] } as Record<string, number[]>]),
    )
    for (const range of ranges) note(`${range.name} reads ${await read(server, range)}`)
    await server.eventLoopDelayMs()
    const delays: number[] = []
    for (let trial = 0; trial < scale.trials; trial++) {
      for (const range of ranges) {
        const { graph, scan } = times.get(range.name)!
        const cost = async (work: () => Promise<unknown>) => {
          const before = server.cpuSeconds()
          for (let repeat = 0; repeat < scale.repeats; repeat++) await work()
          return ((server.cpuSeconds() - before) * 1000) / scale.repeats
        }
        await server.eventLoopDelayMs()
        graph!.push(await cost(() => read(server, range)))
        delays.push(await server.eventLoopDelayMs())
        scan!.push(await cost(() => scanBare(server, range, lastMs)))
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
        figure(`${name}_cpu`, 'ms', graph!, budget === null ? '' : `<= ${budget}`),
        figure(`${name}_bare_scan_cpu`, 'ms', scan!),
      )
    }
    figures.push(figure('event_loop_delay_p99', 'ms', delays))
    return figures
  } finally {
    await server.stop()
  }
}

async function load(server: BenchServer, scale: Scale, startMs: number, quarters: number): Promise<void> {
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
    for (let first = 1; first < quarters; first += 8)
      await server.store.command({
        query: `INSERT INTO ${table} SELECT * REPLACE (time - toIntervalSecond(900 * quarter) AS time) EXCEPT quarter
          FROM (SELECT *, arrayJoin(range(${first}, ${Math.min(first + 8, quarters)})) AS quarter FROM ${table}
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

/** Returns the tables that were read, and how many rows. */
async function read(server: BenchServer, { name, query, from, to }: Range): Promise<string> {
  const url = new URL(`api/v1/${name.split('_')[0]}`, server.url)
  const parameters = { type: 'cpu', query, from, to }
  for (const [parameter, value] of Object.entries(parameters)) url.searchParams.set(parameter, value)
  const response = await fetch(url)
  const answer = (await response.json()) as {
    total?: number
    meta?: { levels?: string[]; rowsRead: number }
  }
  if (!response.ok || !answer.total) throw new Error(`${name} is empty: ${JSON.stringify(answer)}`)
  return `${answer.meta?.rowsRead} rows of ${answer.meta?.levels}`
}

/** Rows and columns of the same table, read and thrown away: no way of grouping can be cheaper. */
async function scanBare(server: BenchServer, { name, table }: Range, lastMs: number): Promise<void> {
  const seconds = { '15min': 0, '24h': 86_400, '7d': 7 * 86_400 }[name.split('_')[1] ?? ''] ?? 0
  const from = lastMs / 1000 - seconds
  const columns =
    table === 'functions_1h' ? 'sum(self), sum(total), max(frame_id)' : 'sum(value), max(stack_id)'
  await server.rows(`SELECT ${columns} FROM ${table}
    WHERE tenant = 'default' AND service = 'svc' AND type = '${type}'
      ${table === 'samples' ? `AND toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp(${from}))` : ''}
      AND time >= fromUnixTimestamp(${from})`)
}
