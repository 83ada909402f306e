import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../cli/src/demo/random.ts'
import { insertBinary } from '../server/src/storage/client.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { type FleetService, makeService, type Window } from './fleet.ts'
import { createRowEncoder, rowColumns } from './fleet-rows.ts'
import { type BenchServer, startBenchServer } from './server.ts'

interface Scale {
  /** Windows of the hour that is stored and merged: fewer leave fewer samples to each stack. */
  windows: number
  /** Instances of each of three services. */
  instances: number
  /** Of the store path, at five times the fleet's speed. */
  pathMinutes: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { windows: 360, instances: 50, pathMinutes: 3 },
  smoke: { windows: 20, instances: 5, pathMinutes: 0.05 },
}
const windowSeconds = 10
const pathSpeed = 5
// As the server groups them.
const groupProfiles = 1000
const hourMs = 3_600_000

/** What a sample takes on disk, by column, and what storing a fleet costs with all of its merges. */
export const storageBench: Bench = async (scaleName, note, options) => {
  const scale = scales[scaleName]
  const size = await withServer(async server => {
    const hour = Math.floor(Date.now() / hourMs) * hourMs
    await storeHour(server, scale, hour - 2 * hourMs)
    return measureSizes(server)
  })
  const small = await withServer(async server => {
    const hour = Math.floor(Date.now() / hourMs) * hourMs
    await storeSmall(server, scale, hour - 2 * hourMs)
    return measureSizes(server)
  })
  const minutes = options.minutes ?? scale.pathMinutes
  const path = await withServer(server => measurePath(server, minutes, note))
  return [
    figure('stored_samples', 'samples', [size.samples]),
    figure('samples_per_stack_hour', 'samples', [size.samplesPerStack]),
    figure('bytes_per_sample', 'bytes', [size.bytes / size.samples], '<= 2.0'),
    ...size.columns.map(([column, bytes]) =>
      figure(`bytes_per_sample_${column}`, 'bytes', [bytes / size.samples]),
    ),
    figure('bytes_per_profile', 'bytes', [size.profileBytes]),
    figure('bytes_per_sample_with_profiles_and_totals', 'bytes', [size.allBytes / size.samples]),
    figure('small_processes_bytes_per_sample', 'bytes', [small.bytes / small.samples]),
    figure('small_processes_bytes_per_profile', 'bytes', [small.profileBytes]),
    ...path,
  ]
}

async function withServer<T>(work: (server: BenchServer) => Promise<T>): Promise<T> {
  const server = await startBenchServer()
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

async function insertGroups(server: BenchServer, windows: Iterable<Window>): Promise<void> {
  const encode = createRowEncoder()
  let group: Window[] = []
  const flush = async () => {
    await insertBinary(server.store, 'ingest', rowColumns, encode(group).bytes, '')
    group = []
  }
  for (const window of windows) if (group.push(window) === groupProfiles) await flush()
  if (group.length > 0) await flush()
}

/** Each instance has its own phase: hosts do not start their windows together. */
function phases(count: number, random: () => number): number[] {
  return Array.from({ length: count }, () => Math.floor(random() * windowSeconds * 1000))
}

/** An hour of three services of 2,000, 9,000 and 18,000 stacks; the last one is deployed half way. */
async function storeHour(server: BenchServer, scale: Scale, hour: number): Promise<void> {
  const random = seededRandom(1)
  const services = [2000, 9000, 18_000].map((stacks, at) => makeService(`svc-${at}`, stacks, at + 1))
  const phase = phases(scale.instances, random)
  function* windows() {
    for (let window = 0; window < scale.windows; window++)
      for (const [at, service] of services.entries())
        for (let instance = 0; instance < scale.instances; instance++)
          yield {
            service,
            instance,
            version: at === 2 && window >= scale.windows / 2 ? 'v2' : 'v1',
            startMs: hour + window * windowSeconds * 1000 + phase[instance]!,
            seconds: windowSeconds,
            stacks: Math.round(184 * (0.7 + 0.6 * random())),
            random,
          }
  }
  await insertGroups(server, windows())
}

/** An hour of processes that do little: 200 stacks, 8 a window, and half of the windows none. */
async function storeSmall(server: BenchServer, scale: Scale, hour: number): Promise<void> {
  const random = seededRandom(2)
  const services = Array.from({ length: 20 }, (_, at) => makeService(`small-${at}`, 200, at + 100))
  const phase = phases(scale.instances, random)
  function* windows() {
    for (let window = 0; window < scale.windows; window++)
      for (const service of services)
        for (let instance = 0; instance < scale.instances / 5; instance++)
          yield {
            service,
            instance,
            version: 'v1',
            startMs: hour + window * windowSeconds * 1000 + phase[instance]!,
            seconds: windowSeconds,
            stacks: random() < 0.5 ? 0 : 8,
            random,
          }
  }
  await insertGroups(server, windows())
}

interface Sizes {
  samples: number
  samplesPerStack: number
  /** Of table `samples`, and of it with `profiles` and `totals_1m`. */
  bytes: number
  allBytes: number
  profileBytes: number
  /** Of `samples`, largest first. */
  columns: [name: string, bytes: number][]
}

/** Once every partition is one part: what a day is when its merges are done. */
async function measureSizes(server: BenchServer): Promise<Sizes> {
  for (const table of ['samples', 'profiles', 'totals_1m']) {
    // A small part has its columns in one file, whose sizes are not told apart.
    await server.store.command({ query: `ALTER TABLE ${table} MODIFY SETTING min_bytes_for_wide_part = 0` })
    await server.store.command({ query: `OPTIMIZE TABLE ${table} FINAL` })
  }
  const parts = await server.rows<[string, number, number]>(
    `SELECT table, toFloat64(sum(rows)), toFloat64(sum(bytes_on_disk)) FROM system.parts
      WHERE active AND table IN ('samples', 'profiles', 'totals_1m') GROUP BY table`,
  )
  const of = (table: string) => parts.find(([name]) => name === table)!
  const columns = await server.rows<[string, number]>(
    `SELECT column, toFloat64(sum(column_data_compressed_bytes)) AS bytes FROM system.parts_columns
      WHERE active AND table = 'samples' GROUP BY column ORDER BY bytes DESC`,
  )
  const [stackHours] = await server.rows<[number]>(
    'SELECT toFloat64(uniqExact(service, stack_id, toStartOfHour(time))) FROM samples',
  )
  return {
    samples: of('samples')[1],
    samplesPerStack: of('samples')[1] / stackHours![0],
    bytes: of('samples')[2],
    allBytes: parts.reduce((sum, [, , bytes]) => sum + bytes, 0),
    profileBytes: of('profiles')[2] / of('profiles')[1],
    columns: columns.slice(0, 5),
  }
}

/**
 * A fleet of 1,500 instances, its time five times as fast, from the insert on: 750 profiles and 138,000 samples
 * a second. Every merge that the engine finds to do meanwhile counts; what it has left to do is told.
 */
async function measurePath(
  server: BenchServer,
  minutes: number,
  note: (sentence: string) => void,
): Promise<Figure[]> {
  const random = seededRandom(3)
  const encode = createRowEncoder()
  const services: FleetService[] = Array.from({ length: 21 }, (_, at) =>
    makeService(`svc-${at}`, 2000 + at * 900, at + 1),
  )
  // 20 services of 50 instances and one of 500.
  const instances = services.flatMap((service, at) =>
    Array.from({ length: at === 20 ? 500 : 50 }, (_, instance) => ({ service, instance })),
  )
  const firstMs = Math.floor(Date.now() / hourMs) * hourMs - 4 * hourMs
  const groupMs = (groupProfiles / instances.length) * windowSeconds * 1000
  const groups = Math.max(2, Math.round((minutes * 60_000 * pathSpeed) / groupMs))
  const insertsMs: number[] = []
  let samples = 0
  let worstLagMs = 0
  let engineBytes = 0
  await server.eventLoopDelayMs()
  const before = server.cpuSeconds()
  const since = performance.now()
  for (let group = 0; group < groups; group++) {
    const windows = Array.from({ length: groupProfiles }, (_, at): Window => {
      const position = group * groupProfiles + at
      return {
        ...instances[position % instances.length]!,
        version: 'v1',
        startMs: firstMs + Math.round((position * windowSeconds * 1000) / instances.length),
        seconds: windowSeconds,
        stacks: Math.round(184 * (0.7 + 0.6 * random())),
        random,
      }
    })
    const encoded = encode(windows)
    samples += encoded.samples
    const dueMs = (group * groupMs) / pathSpeed
    const lateMs = performance.now() - since - dueMs
    worstLagMs = Math.max(worstLagMs, lateMs)
    if (lateMs < 0) await sleep(-lateMs)
    const startedAt = performance.now()
    const token = `insert_deduplication_token = 'bench-${group}', deduplicate_blocks_in_dependent_materialized_views = 1`
    await insertBinary(server.store, 'ingest', rowColumns, encoded.bytes, token)
    insertsMs.push(performance.now() - startedAt)
    if (group % 20 === 0) engineBytes = Math.max(engineBytes, server.residentBytes().engine)
  }
  const seconds = (performance.now() - since) / 1000
  const cpuSeconds = server.cpuSeconds() - before
  const delayMs = await server.eventLoopDelayMs()
  const [[parts, merging] = [0, 0]] = await server.rows<[number, number]>(
    `SELECT toFloat64(count()), (SELECT toFloat64(count()) FROM system.merges) FROM system.parts
      WHERE active AND table = 'samples'`,
  )
  const [[stored] = [0]] = await server.rows<[number]>('SELECT toFloat64(count()) FROM samples')
  if (stored !== samples) throw new Error(`${samples} samples were sent and ${stored} are stored`)
  note(
    `store path: ${Math.round(seconds)} s at ${pathSpeed} times the speed of ${instances.length} instances; ${merging} merges ran at its end`,
  )
  insertsMs.sort((a, b) => a - b)
  return [
    figure('path_samples', 'samples', [samples]),
    figure('path_samples_per_second', '1/s', [samples / seconds]),
    figure('path_samples_per_cpu_second', '1/s', [samples / cpuSeconds]),
    figure('path_cpu', '%', [(cpuSeconds / seconds) * 100]),
    figure('path_insert_p99', 'ms', [insertsMs[Math.floor(insertsMs.length * 0.99)]!]),
    figure('path_worst_lag', 'ms', [worstLagMs]),
    figure('path_parts_at_end', 'parts', [parts]),
    figure('path_engine_memory', 'MB', [engineBytes / 1e6]),
    figure('path_event_loop_delay_p99', 'ms', [delayMs]),
  ]
}
