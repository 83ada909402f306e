import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { encodePprof, type Profile, SERIES_LABEL } from '@strobe/profile'
import { type ProfileSeries, ProfileSeriesSchema, type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { drawCount, seededRandom } from './random.ts'
import { type DemoDeploy, type DemoService, demoServices } from './services.ts'

export interface DemoOptions {
  /** Unix ms; nothing is dated after it. */
  endMs: number
  days: number
  seed: number
}

const minuteMs = 60_000
const windowMinutes = 30
const samplesPerSecond = 19
const periodNanos = 52_631_579n

/** The demo's service, every instance and its stacks, ready to be drawn from. */
interface Plan {
  service: DemoService
  /** Positions in the tables of `Tables`, leaf first. */
  stacks: { locations: number[]; functions: Set<string>; weight: number }[]
}

/** Functions, locations and mappings of the whole demo: every body carries the same ones. */
class Tables {
  readonly functions: Profile['functions'] = []
  readonly mappings: Profile['mappings'] = []
  readonly locationMapping: number[] = []
  private readonly locations = new Map<string, number>()
  private readonly mappingIndex = new Map<string, number>()

  location(module: string, name: string): number {
    const key = `${module}!${name}`
    const known = this.locations.get(key)
    if (known !== undefined) return known
    const index = this.functions.length
    this.locations.set(key, index)
    this.functions.push({ name, systemName: name, file: '', startLine: 0 })
    this.locationMapping.push(this.mapping(module))
    return index
  }

  private mapping(module: string): number {
    const known = this.mappingIndex.get(module)
    if (known !== undefined) return known
    const index = this.mappings.length
    this.mappingIndex.set(module, index)
    const file =
      module === '[kernel]'
        ? '[kernel.kallsyms]'
        : module.includes('.so')
          ? `/usr/lib/${module}`
          : `/usr/bin/${module}`
    this.mappings.push({ start: 0n, limit: 0n, offset: 0n, file, buildId: '' })
    return index
  }
}

function planOf(service: DemoService, tables: Tables): Plan {
  const stacks = service.stacks
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const [, weight = '', text = ''] = /^\s*([\d.]+) (.*)$/.exec(line) ?? []
      let module = ''
      const names: string[] = []
      const locations = text.split('|').map(part => {
        const [, changed, name = ''] = /^(?:([^!]*)!)?(.*)$/.exec(part) ?? []
        module = changed ?? module
        names.push(name)
        return tables.location(module, name)
      })
      return { locations: locations.reverse(), functions: new Set(names), weight: Number(weight) }
    })
  return { service, stacks }
}

function deployAt(service: DemoService, timeMs: number, endMs: number): DemoDeploy {
  const age = (endMs - timeMs) / 86_400_000
  const current = service.deploys.filter(deploy => deploy.daysAgo >= age).at(-1) ?? service.deploys[0]
  if (!current) throw new Error(`demo service ${service.name} has no deploy`)
  return current
}

/** Effects of a version and of those before it: a speed-up stays. */
function weightFactor(service: DemoService, functions: Set<string>, current: DemoDeploy): number {
  let factor = 1
  for (const deploy of service.deploys) {
    for (const [name, times] of Object.entries(deploy.multiply ?? {}))
      if (functions.has(name)) factor *= times
    if (deploy === current) break
  }
  return factor
}

/** Load over the day and the week: a trough at 04:00 UTC, quieter weekends. */
function load(timeMs: number): number {
  const hour = (timeMs / 3_600_000) % 24
  const weekday = Math.floor(timeMs / 86_400_000 + 4) % 7
  return (
    (0.65 - 0.35 * Math.cos(((hour - 4) / 24) * 2 * Math.PI)) * (weekday === 0 || weekday === 6 ? 0.8 : 1)
  )
}

interface Draft {
  series: ProfileSeries[]
  stackOffset: number[]
  stackLocation: number[]
  values: bigint[]
  threads: number[]
  threadNames: string[]
}

function addProfile(
  draft: Draft,
  plan: Plan,
  instance: DemoService['instances'][number],
  timeMs: number,
  endMs: number,
  random: () => number,
) {
  const { service } = plan
  const deploy = deployAt(service, timeMs, endMs)
  const factors = plan.stacks.map(stack => stack.weight * weightFactor(service, stack.functions, deploy))
  const base = plan.stacks.reduce((sum, stack) => sum + stack.weight, 0)
  const expected = service.cores * load(timeMs) * (0.93 + 0.14 * random()) * 60 * samplesPerSecond
  let total = 0
  for (const [i, stack] of plan.stacks.entries()) {
    const count = drawCount((expected * (factors[i] ?? 0)) / base, random)
    if (count === 0) continue
    total += count
    draft.stackLocation.push(...stack.locations)
    draft.stackOffset.push(draft.stackLocation.length)
    draft.values.push(BigInt(count) * periodNanos)
    const name = service.threads[i % service.threads.length] ?? service.name
    let thread = draft.threadNames.indexOf(name)
    if (thread < 0) thread = draft.threadNames.push(name) - 1
    draft.threads.push(draft.series.length, thread)
  }
  const labels = {
    cloud_region: instance.region,
    demo: 'true',
    host_name: instance.host,
    process_executable_name: service.executable,
    service_name: service.name,
    service_version: deploy.version,
  }
  draft.series.push(
    create(ProfileSeriesSchema, {
      labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
      profileName: 'process_cpu',
      timeUnixNanos: BigInt(timeMs) * 1_000_000n,
      durationNanos: BigInt(minuteMs) * 1_000_000n,
      period: periodNanos,
      expected: BigInt(total),
    }),
  )
}

function bodyOf(draft: Draft, tables: Tables): Uint8Array {
  const samples = draft.stackOffset.length - 1
  const locations = tables.functions.length
  const columns = {
    offset: new Uint32Array(samples + 1),
    key: new Uint32Array(samples * 2),
    text: new Int32Array(samples * 2),
    number: new BigInt64Array(samples * 2),
  }
  for (let i = 0; i < samples; i++) {
    columns.offset[i + 1] = (i + 1) * 2
    columns.key.set([0, 1], i * 2)
    columns.text.set([-1, 2 + (draft.threads[i * 2 + 1] ?? 0)], i * 2)
    columns.number[i * 2] = BigInt(draft.threads[i * 2] ?? 0)
  }
  return gzipSync(
    encodePprof({
      sampleTypes: [{ type: 'cpu', unit: 'nanoseconds' }],
      defaultSampleType: '',
      periodType: { type: 'cpu', unit: 'nanoseconds' },
      period: periodNanos,
      timeNanos: draft.series[0]?.timeUnixNanos ?? 0n,
      durationNanos: BigInt(minuteMs) * 1_000_000n,
      comments: ['demo data'],
      mappings: tables.mappings,
      functions: tables.functions,
      locationAddress: BigUint64Array.from({ length: locations }, (_, i) => 0x1000n + BigInt(i) * 64n),
      locationMapping: Int32Array.from(tables.locationMapping),
      lineOffset: Uint32Array.from({ length: locations + 1 }, (_, i) => i),
      lineFunction: Int32Array.from({ length: locations }, (_, i) => i),
      lineNumber: new Uint32Array(locations),
      stackOffset: Uint32Array.from(draft.stackOffset),
      stackLocation: Uint32Array.from(draft.stackLocation),
      values: BigInt64Array.from(draft.values),
      labelOffset: columns.offset,
      labelKey: columns.key,
      labelString: columns.text,
      labelNumber: columns.number,
      labelUnit: new Int32Array(samples * 2).fill(-1),
      labelStrings: [SERIES_LABEL, 'thread_name', ...draft.threadNames],
    }),
    { level: 1 },
  )
}

function batchId(seed: number, index: number): Uint8Array {
  const id = new Uint8Array(16)
  new DataView(id.buffer).setUint32(0, seed)
  new DataView(id.buffer).setUint32(4, index)
  id.set(new TextEncoder().encode('demo'), 12)
  return id
}

/** How many requests generateDemo gives, for a progress line. */
export function demoRequestCount({ days }: Pick<DemoOptions, 'days'>): number {
  return Math.ceil((days * 1440) / windowMinutes)
}

/**
 * Profiles of a minute each of three services over some days, newest first so that a page has something to
 * show at once. The same options give the same bytes, batch ids included: seeding twice stores once.
 */
export function* generateDemo({ endMs, days, seed }: DemoOptions): Generator<WriteRequest> {
  const tables = new Tables()
  const plans = demoServices.map(service => planOf(service, tables))
  const end = Math.floor(endMs / minuteMs)
  for (let index = 0; index < demoRequestCount({ days }); index++) {
    const random = seededRandom(seed + index)
    const draft: Draft = {
      series: [],
      stackOffset: [0],
      stackLocation: [],
      values: [],
      threads: [],
      threadNames: [],
    }
    const last = end - index * windowMinutes
    for (let minute = Math.max(last - windowMinutes, Math.ceil(end - days * 1440)); minute < last; minute++)
      for (const plan of plans)
        for (const instance of plan.service.instances)
          addProfile(draft, plan, instance, minute * minuteMs, end * minuteMs, random)
    yield create(WriteRequestSchema, {
      batchId: batchId(seed, index),
      bodies: [{ pprof: bodyOf(draft, tables), series: draft.series }],
    })
  }
}
