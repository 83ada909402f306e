import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { decodePprof } from '@strobe/profile'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { seededRandom } from '../cli/src/demo/random.ts'
import { runExtremes } from '../test/extremes.ts'
import { runKills } from '../test/kills.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure, median } from './figure.ts'
import { makeRequest, makeService } from './fleet.ts'
import { type BenchServer, startBenchServer } from './server.ts'

interface Scale {
  minutes: number
  kills: number
  /** Distinct stacks of one service. */
  stacks: number
  labelValues: number
  /** Seconds of warming up, and of sending as fast as it goes. */
  warmSeconds: number
  fastSeconds: number
  /** Requests that are sent again and again with new ids and times. */
  pool: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: {
    minutes: 30,
    kills: 50,
    stacks: 1_000_000,
    labelValues: 10_000,
    warmSeconds: 15,
    fastSeconds: 20,
    pool: 400,
  },
  smoke: {
    minutes: 0.2,
    kills: 1,
    stacks: 5_000,
    labelValues: 100,
    warmSeconds: 1,
    fastSeconds: 2,
    pool: 20,
  },
}
const parallel = 64
const queriesPerSecond = 2
const windowSeconds = 10
/** How long a query that is told to come again does so before it has failed. */
const patienceMs = 120_000

/** What a store is asked to survive: strange services, half its most for a long time, and kills. */
export const soakBench: Bench = async (scaleName, note, options) => {
  const scale = scales[scaleName]
  const kills = options.kills ?? scale.kills
  const figures: Figure[] = []
  const problems = (what: string, found: readonly string[]) => {
    for (const each of found.slice(0, 10)) note(`${what}: ${each}`)
    figures.push(figure(`${what}_problems`, 'problems', [found.length], '<= 0'))
  }

  await withServer(async server => {
    const extremes = await runExtremes(server, scale)
    problems('extremes', extremes.problems)
    for (const code of extremes.refusals) note(`a question about ${scale.stacks} stacks is refused: ${code}`)
    const memory = server.residentBytes()
    figures.push(
      figure('wide_service_flamegraph', 'ms', [extremes.wideGraphMs]),
      figure('wide_service_functions', 'ms', [extremes.wideFunctionsMs]),
      figure('wide_service_refusals', 'refusals', [extremes.refusals.length]),
      figure('wide_service_server_memory', 'MB', [memory.server / 1e6]),
      figure('wide_service_engine_memory', 'MB', [memory.engine / 1e6]),
    )
  })
  await withServer(async server => {
    figures.push(...(await soak(server, scale, options.minutes ?? scale.minutes, problems)))
  })
  const folder = mkdtempSync(join(tmpdir(), 'strobe-soak-'))
  try {
    const seed = Date.now() % 2 ** 31
    note(`kills: seed ${seed}`)
    const report = await runKills({ folder, kills, seed })
    problems('kills', report.problems)
    figures.push(
      figure('kills', 'kills', [kills]),
      figure('kills_batches', 'batches', [report.batches]),
      figure('kills_retries', 'tries', [report.retries]),
      figure('kills_level_runs', 'runs', [report.levelRuns]),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return figures
}

async function withServer(work: (server: BenchServer) => Promise<void>): Promise<void> {
  const server = await startBenchServer({ levelIntervalMs: '5s', levelDelayMs: '10s' })
  try {
    await work(server)
  } finally {
    await server.stop()
  }
}

/** A request of the pool, and what it adds to the store each time. */
interface Entry {
  request: WriteRequest
  profiles: number
  samples: number
  value: bigint
}

async function soak(
  server: BenchServer,
  scale: Scale,
  minutes: number,
  problems: (what: string, found: readonly string[]) => void,
): Promise<Figure[]> {
  const pool = makePool(scale.pool)
  const sent = { profiles: 0, samples: 0, value: 0n, requests: 0 }
  const failures: string[] = []
  const send = async () => {
    const entry = pool[sent.requests++ % pool.length]!
    try {
      await server.write([stamped(entry.request)], 1)
    } catch (error) {
      failures.push((error as Error).message)
    }
    sent.profiles += entry.profiles
    sent.samples += entry.samples
    sent.value += entry.value
  }
  const asFastAsItGoes = async (seconds: number) => {
    const until = performance.now() + seconds * 1000
    const before = sent.requests
    await Promise.all(
      Array.from({ length: parallel }, async () => {
        while (performance.now() < until) await send()
      }),
    )
    return (sent.requests - before) / seconds
  }
  await asFastAsItGoes(scale.warmSeconds)
  const mostPerSecond = await asFastAsItGoes(scale.fastSeconds)

  const memory: { atMs: number; server: number; engine: number }[] = []
  const queriesMs: number[] = []
  const answers: number[] = []
  let refused = 0
  const startedAt = performance.now()
  const endsAt = startedAt + minutes * 60_000
  await server.eventLoopDelayMs()
  const every = async (periodMs: number, work: (turn: number) => Promise<void> | void) => {
    const running: Promise<void>[] = []
    for (let turn = 0; startedAt + turn * periodMs < endsAt; turn++) {
      const lateMs = performance.now() - startedAt - turn * periodMs
      if (lateMs < 0) await sleep(-lateMs)
      running.push(Promise.resolve(work(turn)))
      if (running.length > 4 * parallel) await running.shift()
    }
    await Promise.all(running)
  }
  await Promise.all([
    every(2000 / mostPerSecond, async () => {
      const since = performance.now()
      await send()
      answers.push(performance.now() - since)
    }),
    every(1000 / queriesPerSecond, async turn => {
      const since = performance.now()
      const { failure, refusals } = await query(server, turn)
      if (failure !== '') failures.push(failure)
      refused += refusals
      queriesMs.push(performance.now() - since)
    }),
    every(2000, () => {
      memory.push({ atMs: performance.now() - startedAt, ...server.residentBytes() })
    }),
  ])
  const delayMs = await server.eventLoopDelayMs()
  problems('soak_requests', failures)
  problems('soak_data', await differences(server, sent))
  // The first third warms up caches; the rest must be flat.
  const settled = memory.filter(({ atMs }) => atMs > (minutes * 60_000) / 3)
  const slope = (which: 'server' | 'engine') =>
    slopePerMinute(settled.map(each => [each.atMs / 60_000, each[which] / 1e6]))
  return [
    figure('soak_minutes', 'min', [minutes]),
    figure('most_requests_per_second', '1/s', [mostPerSecond]),
    figure('soak_requests_per_second', '1/s', [answers.length / (minutes * 60)]),
    figure('soak_samples', 'samples', [sent.samples]),
    figure('soak_answer_median', 'ms', [median(answers)]),
    figure('soak_answer_p99', 'ms', [quantile(answers, 0.99)]),
    figure('soak_query_median', 'ms', [median(queriesMs)]),
    figure('soak_query_p99', 'ms', [quantile(queriesMs, 0.99)]),
    figure('soak_queries', 'queries', [queriesMs.length]),
    figure('soak_query_refusals', 'refusals', [refused]),
    figure('soak_event_loop_delay_p99', 'ms', [delayMs]),
    ...(['server', 'engine'] as const).flatMap(which => [
      figure(`soak_${which}_memory_first`, 'MB', [settled[0]![which] / 1e6]),
      figure(`soak_${which}_memory_last`, 'MB', [settled.at(-1)![which] / 1e6]),
      figure(`soak_${which}_memory_slope`, 'MB/min', [slope(which)], '<= 1'),
    ]),
  ]
}

/** One body in ten is shared by a hundred small processes; the others are one profile of 184 stacks. */
function makePool(count: number): Entry[] {
  const random = seededRandom(5)
  const services = Array.from({ length: 5 }, (_, at) => makeService(`svc-${at}`, 2000 + at * 2000, at + 1))
  return Array.from({ length: count }, (_, at) => {
    const service = services[at % services.length]!
    const isShared = at % 10 === 9
    const request = makeRequest(
      Array.from({ length: isShared ? 100 : 1 }, (_, instance) => ({
        service,
        instance: at * 100 + instance,
        version: at % 4 === 0 ? 'v2' : 'v1',
        startMs: 0,
        seconds: windowSeconds,
        stacks: isShared ? (instance % 2) * 8 : 184,
        random,
      })),
    )
    const body = decodePprof(gunzipSync(request.bodies[0]!.pprof))
    return {
      request,
      profiles: request.bodies[0]!.series.length,
      samples: body.stackOffset.length - 1,
      value: body.values.reduce((sum, value) => sum + value, 0n),
    }
  })
}

/** The same with an id of its own, and a window that ends now. */
function stamped(request: WriteRequest): WriteRequest {
  const timeUnixNanos = BigInt(Date.now() - windowSeconds * 1000) * 1_000_000n
  return create(WriteRequestSchema, {
    batchId: crypto.getRandomValues(new Uint8Array(16)),
    bodies: request.bodies.map(({ pprof, series }) => ({
      pprof,
      series: series.map(each => ({ ...each, timeUnixNanos })),
    })),
  })
}

const paths = [
  'flamegraph?type=cpu&query={service_name="svc-0"}&from=now-15m',
  'functions?type=cpu&query={service_name="svc-1"}&from=now-1h',
  'flamegraph?type=cpu&query={service_name="svc-2",service_version="v1"}&from=now-1h',
  'series?type=cpu&query={service_name="svc-3"}&from=now-1h&by=service_version',
  'labels/k8s_pod_name/values?from=now-1h',
  'services?from=now-1h',
]

interface QueryOutcome {
  /** '' when the answer is one. */
  failure: string
  /** Times it was told to come again, and did, as clients are to. */
  refusals: number
}

async function query(server: BenchServer, turn: number): Promise<QueryOutcome> {
  const path = paths[turn % paths.length]!
  const url = new URL(`api/v1/${path}&to=now`, server.url)
  const givesUpAt = performance.now() + patienceMs
  for (let refusals = 0; ; refusals++) {
    try {
      const response = await fetch(url)
      const answer = (await response.json()) as { total?: number; details?: { retryAfterMs?: number } }
      const pauseMs = answer.details?.retryAfterMs
      if (response.status === 429 && pauseMs !== undefined && performance.now() + pauseMs < givesUpAt) {
        await sleep(pauseMs)
        continue
      }
      if (!response.ok) return { failure: `${path}: ${JSON.stringify(answer)}`, refusals }
      return { failure: answer.total === 0 ? `${path} is empty` : '', refusals }
    } catch (error) {
      return { failure: `${path}: ${(error as Error).message}`, refusals }
    }
  }
}

async function differences(
  server: BenchServer,
  sent: { profiles: number; samples: number; value: bigint },
): Promise<string[]> {
  const [row] = await server.rows<string[]>(
    `SELECT (SELECT toString(count()) FROM profiles), (SELECT toString(sum(profiles)) FROM totals_1m),
      (SELECT toString(count()) FROM samples), (SELECT toString(sum(toInt128(value))) FROM samples),
      (SELECT toString(sum(toInt128(value))) FROM totals_1m)`,
  )
  const names = ['profiles', 'profiles of totals', 'samples', 'sum of samples', 'sum of totals']
  const wanted = [sent.profiles, sent.profiles, sent.samples, sent.value, sent.value].map(String)
  return names.flatMap((name, at) =>
    row![at] === wanted[at] ? [] : [`${name}: ${row![at]} are stored, ${wanted[at]} were sent`],
  )
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** Of the straight line that fits best, in y per x. */
function slopePerMinute(points: readonly [x: number, y: number][]): number {
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const covariance = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  return covariance / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
}
