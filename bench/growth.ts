import { gunzipSync } from 'node:zlib'
import { decodePprof, resolveStacks } from '@strobe/profile'
import { seededRandom } from '../cli/src/demo/random.ts'
import { insertBinary } from '../server/src/storage/client.ts'
import { LevelJob } from '../server/src/storage/levels/job.ts'
import { defaultLevelSettings } from '../server/src/storage/levels/settings.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'
import { type FleetService, makeRequest, makeService, type Window } from './fleet.ts'
import { cpuType, createRowWriter, drawProfile, rowColumns } from './fleet-rows.ts'
import { type BenchServer, startBenchServer } from './server.ts'

interface Scale {
  /** Of the service at x1, x4 and x16; the last is the service-day of the design. */
  instances: [number, number, number]
  hours: number
  /** Stacks of each of two versions. */
  stacks: number
  /** Trials, and times a question is asked in each: CPU is counted in steps of 10 ms. */
  repeats: number
  asks: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { instances: [3, 12, 48], hours: 24, stacks: 4500, repeats: 3, asks: 3 },
  smoke: { instances: [2, 4, 8], hours: 1, stacks: 50, repeats: 1, asks: 1 },
}
const factors = ['x1', 'x4', 'x16'] as const
const windowSeconds = 10
const hourMs = 3_600_000
const minuteMs = 60_000
// Profiles that are drawn once and handed out in turn; all of a day's would be the same kind of numbers.
const drawnProfiles = 2000
const rowsPerInsert = 2000

interface Question {
  name: string
  path: string
  /** Of the range, back from the last sample. */
  minutes: number
  matchers: string
  parameters?: Record<string, string>
}

const flamegraph = (name: string, minutes: number, matchers = ''): Question => ({
  name: `flamegraph_${name}`,
  path: 'flamegraph',
  minutes,
  matchers,
})
const pod = ',k8s_pod_name="svc-0"'
const version = ',service_version="v2"'
const questions: Question[] = [
  flamegraph('15min', 15),
  flamegraph('1h', 60),
  flamegraph('4h', 240),
  flamegraph('12h', 720),
  flamegraph('24h', 1440),
  flamegraph('pod_15min', 15, pod),
  flamegraph('pod_24h', 1440, pod),
  flamegraph('version_15min', 15, version),
  flamegraph('version_24h', 1440, version),
  {
    name: 'totals_by_version_24h',
    path: 'series',
    minutes: 1440,
    matchers: '',
    parameters: { by: 'service_version', points: '200' },
  },
  { name: 'functions_15min', path: 'functions', minutes: 15, matchers: '', parameters: { limit: '100' } },
  { name: 'functions_24h', path: 'functions', minutes: 1440, matchers: '', parameters: { limit: '100' } },
  { name: 'label_names', path: 'labels', minutes: 1440, matchers: '' },
  { name: 'label_values', path: 'labels/k8s_pod_name/values', minutes: 1440, matchers: '' },
]
/** Ranges that are scanned bare: sum and largest stack of the same rows. */
const scans = [15, 60, 240, 720, 1440]

/**
 * What each question costs at three sizes of a service, beside the bare scan of its rows, and by which power of the
 * size it grows.
 */
export const growthBench: Bench = async (scaleName, note) => {
  const scale = scales[scaleName]
  const costs = new Map<string, number[]>()
  const figures: Figure[] = []
  for (const [at, factor] of factors.entries()) {
    const server = await startBenchServer({ levels: 'no' })
    try {
      const endMs = Math.floor((Date.now() - 10 * minuteMs) / minuteMs) * minuteMs
      const samples = await load(server, scale, scale.instances[at]!, endMs)
      figures.push(figure(`${factor}_samples`, 'samples', [samples]))
      await sumLevels(server)
      await settle(server)
      for (const { name, ask } of [...asked(server, endMs), ...scanned(server, endMs)]) {
        // Once for what is compiled and cached, as a page that stays open has it.
        await ask()
        const trials: number[] = []
        for (let repeat = 0; repeat < scale.repeats; repeat++) {
          const before = server.cpuSeconds()
          for (let again = 0; again < scale.asks; again++) await ask()
          trials.push(((server.cpuSeconds() - before) * 1000) / scale.asks)
        }
        const each = figure(`${factor}_${name}_cpu`, 'ms', trials)
        figures.push(each)
        costs.set(name, [...(costs.get(name) ?? []), each.value])
      }
    } finally {
      await server.stop()
    }
  }
  const size = Math.log(scale.instances[2] / scale.instances[0])
  for (const [name, [small = 0, , large = 0]] of costs)
    figures.push(
      figure(`growth_${name}`, 'power', [
        Math.max(0, Math.log(Math.max(large, 1) / Math.max(small, 1)) / size),
      ]),
    )
  note(
    `x16 is a service-day of ${scale.instances[2]} instances; growth 1 is as the number of samples, 0 is not at all`,
  )
  return figures
}

/** A day of the service up to endMs: half of its instances of each version. Returns the samples. */
async function load(server: BenchServer, scale: Scale, instances: number, endMs: number): Promise<number> {
  const random = seededRandom(11)
  const service = makeService('svc', scale.stacks, 11)
  const versionOf = (instance: number) => (instance % 2 === 0 ? 'v1' : 'v2')
  const at = (instance: number, startMs: number, stacks: number): Window => ({
    service,
    instance,
    version: versionOf(instance),
    startMs,
    seconds: windowSeconds,
    stacks,
    random,
  })
  // Series by a profile without stacks, stacks by one of each version that has them all.
  const startMs = endMs - scale.hours * hourMs
  const series = Array.from({ length: instances }, (_, instance) => at(instance, startMs, 0))
  const whole = [0, 1].map(instance => makeRequest([at(instance, startMs, scale.stacks)]))
  await server.write([makeRequest(series), ...whole], 3)
  const pools = whole.map((request, instance) => {
    const ids = stackIdsOf(service, request.bodies[0]!.pprof)
    return Array.from({ length: drawnProfiles }, () =>
      drawProfile(at(instance, 0, Math.round(184 * (0.7 + 0.6 * random()))), ids),
    )
  })

  const writer = createRowWriter()
  let [samples, rows, turn] = [2 * scale.stacks, 0, 0]
  const flush = () => {
    rows = 0
    return insertBinary(server.store, 'ingest', rowColumns, writer.take(), '')
  }
  for (let windowMs = startMs; windowMs < endMs; windowMs += windowSeconds * 1000)
    for (let instance = 0; instance < instances; instance++) {
      const profile = pools[instance % 2]![turn++ % drawnProfiles]!
      samples += profile.values.length
      writer.write(at(instance, windowMs + ((instance * 997) % 10_000), 0), profile)
      if (++rows === rowsPerInsert) await flush()
    }
  if (rows > 0) await flush()
  const [[stored] = [0]] = await server.rows<[number]>('SELECT toFloat64(count()) FROM samples')
  if (stored !== samples) throw new Error(`${samples} samples were sent and ${stored} are stored`)
  return samples
}

/** In the order of the service's stacks. pprof: a body that has each of them once. */
function stackIdsOf(service: FleetService, pprof: Uint8Array): BigUint64Array {
  const profile = decodePprof(gunzipSync(pprof))
  const { sampleStack, stackId } = resolveStacks(profile)
  const names = new Map<string, bigint>()
  for (const [sample, stack] of sampleStack.entries()) {
    const frames: string[] = []
    for (let at = profile.stackOffset[sample]!; at < profile.stackOffset[sample + 1]!; at++) {
      const line = profile.lineOffset[profile.stackLocation[at]!]!
      frames.push(`${profile.functions[profile.lineFunction[line]!]!.name}:${profile.lineNumber[line]}`)
    }
    names.set(frames.join(), stackId[stack]!)
  }
  return BigUint64Array.from(service.stacks, stack => {
    const frames = Array.from(
      stack,
      frame => `${service.functions[service.frameFunction[frame]!]!.name}:${service.frameLine[frame]}`,
    )
    return names.get(frames.join())!
  })
}

/** All that is closed, without the job's pauses. */
async function sumLevels(server: BenchServer): Promise<void> {
  const job = new LevelJob({
    client: server.store,
    settings: { ...defaultLevelSettings(), pauseRatio: 0 },
    log: { warn: (facts, message) => console.error(message, facts) },
    metrics: { ran() {}, ranFor() {}, wrote() {}, lags() {}, deleted() {} },
    // Long enough after the last insert for its periods to be settled.
    now: () => Date.now() + 10 * minuteMs,
  })
  while (await job.look());
}

/** Merges are not the questions' cost. */
async function settle(server: BenchServer): Promise<void> {
  const tables = await server.rows<[string]>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'`,
  )
  for (const [table] of tables) {
    if (table !== 'samples') await server.store.command({ query: `OPTIMIZE TABLE ${table}` })
    await server.store.command({ query: `SYSTEM STOP MERGES ${table}` })
  }
}

function asked(server: BenchServer, endMs: number) {
  return questions.map(({ name, path, minutes, matchers, parameters }) => ({
    name,
    ask: async () => {
      const url = new URL(`api/v1/${path}`, server.url)
      url.search = new URLSearchParams({
        ...(path.startsWith('labels') ? {} : { type: cpuType }),
        query: `{service_name="svc"${matchers}}`,
        from: String(endMs - minutes * minuteMs),
        to: String(endMs),
        ...parameters,
      }).toString()
      const response = await fetch(url)
      const answer = (await response.json()) as Record<string, unknown>
      if (!response.ok || answer.total === 0)
        throw new Error(`${name}: ${JSON.stringify(answer).slice(0, 300)}`)
    },
  }))
}

function scanned(server: BenchServer, endMs: number) {
  return scans.map(minutes => ({
    name: `bare_scan_${minutes < 60 ? `${minutes}min` : `${minutes / 60}h`}`,
    ask: async () => {
      const [from, to] = [endMs / 1000 - minutes * 60, endMs / 1000]
      await server.rows(
        `SELECT sum(value), max(stack_id) FROM samples
          WHERE tenant = 'default' AND service = 'svc' AND type = '${cpuType}'
            AND toStartOfHour(time) >= toStartOfHour(fromUnixTimestamp(${from}))
            AND time >= fromUnixTimestamp(${from}) AND time < fromUnixTimestamp(${to})`,
      )
    },
  }))
}
