import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../engine/settings.ts'
import { type Engine, startEngine } from '../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../storage/client.ts'
import { deleteAllData } from '../storage/delete-data.ts'
import { LevelJob } from '../storage/levels/job.ts'
import { type LevelName, levelNames } from '../storage/levels/level.ts'
import { defaultLevelSettings } from '../storage/levels/settings.ts'
import {
  cpuType,
  heapType,
  type KnownProfile,
  type KnownStore,
  makeKnownStore,
} from '../storage/levels/testing.ts'
import { migrate } from '../storage/migrate.ts'
import { createReader, type Reader, type ReadUsage } from '../storage/select/reader.ts'
import type { LabelMatcher, Scope } from '../storage/select/statement.ts'
import type { PastValue } from '../storage/tenants.ts'
import { groupLabelsSince } from '../tenant-groups.ts'
import type { QueryContext } from './context.ts'
import { readMeta } from './coverage.ts'
import { createComparer } from './diff/comparer.ts'
import { queryFunctions } from './functions.ts'
import { assemblePlan, planStackSums } from './plan-stacks.ts'
import { createTreeWorker } from './tree/workers.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-plan-'))
const startMs = Date.UTC(2026, 10, 1, 10)
const hourMs = 3_600_000
const settings = { ...defaultLevelSettings(), pauseRatio: 0, retryMs: 0 }
const trees = createTreeWorker({ cacheBytes: 2 ** 24 })
const comparer = createComparer(30_000)
let engine: Engine
let client: StoreClient
let reader: Reader
let store: KnownStore
let random: () => number
let nowMs: number
let groupLists: PastValue[]

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  reader = createReader(client, {
    timeoutMs: 30_000,
    memoryBytes: 2 ** 29,
    rows: 100_000,
    gate: { places: 4, longPlaces: 4, tenantPlaces: () => 4, tenantWaiting: () => 100, waitMs: 60_000 },
  })
  await migrate(client)
}, 60_000)
afterAll(async () => {
  await trees.stop()
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)
beforeEach(async () => {
  await deleteAllData(client)
  random = seededRandom(5)
  store = makeKnownStore(random)
  await store.writeDimensions(client)
  nowMs = startMs
  groupLists = []
})

function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) / 2 ** 24
  }
}

function openJob(cut: { step: string; level: LevelName } | null = null): LevelJob {
  return new LevelJob({
    client,
    settings,
    log: quiet,
    metrics: { ran() {}, ranFor() {}, wrote() {}, lags() {}, deleted() {} },
    now: () => nowMs,
    onStep(step, level) {
      if (cut?.step === step && cut.level === level) throw new Error('power cut')
    },
  })
}

function contextOf(levels: boolean): QueryContext {
  return {
    reader,
    trees,
    exports: trees,
    comparer,
    treeLimits: { nodes: 1_000_000, frames: 10_000_000, timeoutMs: 30_000 },
    now: () => nowMs,
    agentSilentMs: 60_000,
    isDemo: false,
    keptFrom: () => 0,
    groupLabels: (_tenant, from) => groupLabelsSince(groupLists, from * 1000),
    ...(levels ? { levels: settings } : {}),
  }
}

/** Sums by stack; with a label by `value stack`. */
async function stackSums(scope: Scope & { type: string }, label: string | null, levels: boolean) {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const statement = await planStackSums(contextOf(levels), scope, label, usage, undefined)
  const bytes = await reader.bytes(statement, usage, undefined)
  const sums: Record<string, bigint> = {}
  for (let at = 0; at < bytes.length; at += 24) {
    let key = ''
    if (label !== null) {
      const end = at + 1 + bytes.readUInt8(at)
      key = `${bytes.toString('utf8', at + 1, end)} `
      at = end
    }
    sums[`${key}${bytes.readBigUInt64LE(at)}`] =
      bytes.readBigUInt64LE(at + 8) + (bytes.readBigInt64LE(at + 16) << 64n)
  }
  return { sums, levels: usage.levels ?? [] }
}

function matches({ labels }: KnownProfile, matchers: LabelMatcher[]): boolean {
  return matchers.every(({ name, op, value }) => {
    const is = labels[name] ?? ''
    const hasMatched = op.endsWith('~') ? new RegExp(`^(?:${value})$`).test(is) : is === value
    return op.startsWith('!') ? !hasMatched : hasMatched
  })
}

const byGroup: LabelMatcher[][] = [
  [],
  [{ name: 'service_name', op: '=', value: 'api' }],
  [{ name: 'service_name', op: '=~', value: 'ap.*|web' }],
  [
    { name: 'service_name', op: '=', value: 'web' },
    { name: 'service_version', op: '=', value: 'v1' },
  ],
  [{ name: 'service_version', op: '!~', value: 'v1' }],
  [{ name: 'cloud_region', op: '=', value: '' }],
]
const bySeries: LabelMatcher[][] = [
  [{ name: 'k8s_pod_name', op: '=', value: 'p1' }],
  [
    { name: 'service_name', op: '=', value: 'api' },
    { name: 'k8s_pod_name', op: '!=', value: 'p0' },
  ],
]

/** Compares both ways of reading with what was written; says which tables were read. */
async function check(
  fromMs: number,
  toMs: number,
  type: string,
  matchers: LabelMatcher[],
  label: string | null = null,
): Promise<string[]> {
  const range = { from: Math.floor(fromMs / 1000), to: Math.ceil(toMs / 1000) }
  const scope = { tenant: 'default', range, types: [type], type, matchers }
  const planned = await stackSums(scope, label, true)
  const isWanted = (profile: KnownProfile) =>
    profile.type === type &&
    profile.timeMs >= range.from * 1000 &&
    profile.timeMs < range.to * 1000 &&
    matches(profile, matchers)
  const known: Record<string, bigint> = {}
  const labelOf = ({ labels }: KnownProfile) => (label === null ? null : (labels[label] ?? ''))
  for (const value of new Set(store.profiles.map(labelOf)))
    for (const [stack, sum] of Object.entries(
      store.stackSums(profile => isWanted(profile) && labelOf(profile) === value),
    ))
      known[value === null ? stack : `${value} ${stack}`] = sum
  if (type === cpuType) expect(planned.sums).toEqual(known)
  expect(planned.sums).toEqual((await stackSums(scope, label, false)).sums)
  return planned.levels
}

/** The table of functions through levels, beside what was written. */
async function checkFunctions(fromMs: number, toMs: number, matchers: LabelMatcher[]): Promise<string[]> {
  const from = Math.floor(fromMs / 1000) * 1000
  const to = Math.ceil(toMs / 1000) * 1000
  const query = `{${matchers.map(({ name, op, value }) => `${name}${op}"${value}"`).join(',')}}`
  const input = { type: cpuType, query, from: String(from), to: String(to), search: '', limit: 10_000 }
  const view = { group: 'function', focus: '', hide: '' }
  const answer = await queryFunctions(
    contextOf(true),
    'default',
    { ...input, ...view, sort: 'self' },
    undefined,
  )
  const known = store.functionSums(
    profile =>
      profile.type === cpuType && profile.timeMs >= from && profile.timeMs < to && matches(profile, matchers),
  )
  const shown = answer.functions.map(({ name, file, module, kind }) => `${name} ${file} ${module} ${kind}`)
  expect([...shown].sort()).toEqual(Object.keys(known).sort())
  // Answers are doubles.
  for (const [at, name] of shown.entries()) {
    expect(Math.abs(answer.functions[at]!.self / Number(known[name]![0] || 1n) - 1)).toBeLessThan(
      known[name]![0] === 0n ? 2 : 1e-12,
    )
    expect(Math.abs(answer.functions[at]!.total / Number(known[name]![1]) - 1)).toBeLessThan(1e-12)
  }
  return answer.meta.levels ?? []
}

test('random data, edges, late batches, kills and jobs at once: levels answer as samples do', async () => {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const read: Record<string, number> = {}
  nowMs = startMs + 3 * hourMs
  await store.write(client, 200, startMs, nowMs)
  for (let round = 0; round < 9; round++) {
    nowMs += Math.floor(0.6 * hourMs * random())
    const isLate = random() < 0.3
    const fromMs = isLate ? startMs + random() * (nowMs - startMs) : nowMs - 0.6 * hourMs
    await store.write(client, 40, fromMs, isLate ? fromMs + 1000 : nowMs)
    const cut = { step: pick(['begun', 'summed', 'verified', 'recorded']), level: pick(levelNames) }
    const looks = [openJob(random() < 0.4 ? cut : null).look()]
    if (random() < 0.5) looks.push(openJob().look())
    for (const end of await Promise.allSettled(looks))
      if (end.status === 'rejected') expect(String(end.reason)).toContain('power cut')
    const queries = Array.from({ length: 8 }, () => {
      const edge = (share: number) => {
        const atMs = startMs + share * (nowMs - startMs)
        return random() < 0.3 ? Math.floor(atMs / 600_000) * 600_000 : atMs
      }
      const from = edge(random() * 0.6)
      const to = Math.max(from + 1000, edge(0.4 + random() * 0.6))
      const matchers = pick(random() < 0.6 ? byGroup : bySeries)
      const label = random() < 0.6 ? null : pick(['service_version', 'k8s_pod_name', 'none'])
      return check(from, to, random() < 0.9 ? cpuType : heapType, matchers, label)
    })
    for (let query = 0; query < 3; query++) {
      const fromMs = startMs + Math.floor(random() * 2) * hourMs
      queries.push(checkFunctions(fromMs, fromMs + (1 + 3 * random()) * hourMs, pick(byGroup)))
    }
    for (const level of (await Promise.all(queries)).flat()) read[level] = (read[level] ?? 0) + 1
  }
  // Otherwise nothing was proved.
  for (const level of ['samples', 'group_10m', 'group_1h', 'series_1h', 'functions_1h'])
    expect(read[level]).toBeGreaterThan(2)
}, 120_000)

test('lists of group labels that change between data: levels answer as samples do', async () => {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const regroup = async (labels: string[]) => {
    groupLists.push({ sinceMs: nowMs, value: labels.join(',') })
    await store.regroup(client, labels, nowMs)
  }
  const moment = async (days: number, hours: number) => {
    nowMs = startMs + (24 * days + hours) * hourMs
    await store.write(client, 80, nowMs - hourMs, nowMs)
  }
  const look = async () => {
    nowMs += hourMs
    await openJob().look()
  }
  await moment(0, 1)
  // Inside an hour.
  await moment(0, 1.5)
  await regroup(['service_name', 'k8s_pod_name'])
  await moment(0, 2.5)
  await regroup(['service_name'])
  await moment(0, 3.5)
  await look()
  await regroup(['service_name', 'k8s_pod_name', 'service_version'])
  await moment(0, 8)
  await look()
  await moment(8, 2)
  // For an hour that was summed by an older list.
  await store.write(client, 20, startMs, startMs + 2 * hourMs)
  await look()

  const old = [startMs, startMs + 8 * hourMs] as const
  const late = [startMs + 8 * 24 * hourMs, startMs + (8 * 24 + 2) * hourMs] as const
  expect(await check(...old, cpuType, byGroup[1]!)).toEqual(['group_1h'])
  expect(await check(...old, cpuType, byGroup[3]!)).toEqual(['series_1h'])
  expect(await check(...old, cpuType, bySeries[0]!)).toEqual(['series_1h'])
  expect(await check(...late, cpuType, byGroup[3]!)).toEqual(['group_1h'])
  expect(await check(...late, cpuType, bySeries[1]!)).toEqual(['group_1h'])
  for (let query = 0; query < 24; query++) {
    const edge = (isOld: boolean) => (isOld ? old[0] : late[0]) + Math.floor(9 * random()) * 3_000_000
    const isOld = random() < 0.6
    const [from, to] = [edge(isOld), edge(isOld && random() < 0.6)].sort((a, b) => a - b)
    const matchers = pick([...byGroup, ...bySeries])
    await check(
      from!,
      Math.max(to!, from! + 1000),
      cpuType,
      matchers,
      pick([null, 'service_version', 'k8s_pod_name']),
    )
    const scope = {
      ...{ tenant: 'default', types: [cpuType], matchers },
      range: { from: startMs / 1000, to: startMs / 1000 + (random() < 0.5 ? 7 : 24 * 9) * 3600 },
    }
    const meta = await readMeta(contextOf(true), scope, { rowsRead: 0, bytesRead: 0 }, undefined)
    const counted = store.profiles.filter(
      profile =>
        profile.type === cpuType && matches(profile, matchers) && profile.timeMs < scope.range.to * 1000,
    )
    expect(meta.profiles).toBe(counted.length)
    if (query < 8) await checkFunctions(startMs, startMs + pick([4, 8, 195]) * hourMs, matchers)
  }
}, 120_000)

test('a settled range is read from levels alone', async () => {
  await store.write(client, 400, startMs, startMs + 3 * hourMs)
  nowMs = startMs + 4 * hourMs
  await openJob().look()
  expect(await check(startMs, startMs + 3 * hourMs, cpuType, byGroup[1]!)).toEqual(['group_1h'])
  expect(await check(startMs + 600_000, startMs + 2.5 * hourMs, cpuType, byGroup[3]!)).toEqual([
    'group_1h',
    'group_10m',
  ])
  expect(await check(startMs, startMs + 3 * hourMs, cpuType, bySeries[0]!)).toEqual(['series_1h'])
  expect(await check(startMs + 5000, startMs + 3 * hourMs, cpuType, byGroup[0]!)).toEqual([
    'group_1h',
    'group_10m',
    'samples',
  ])
  expect(await check(startMs, startMs + 3 * hourMs, heapType, byGroup[1]!)).toEqual(['samples'])
})

test('ten minutes that are not kept any more are not asked for', async () => {
  await store.write(client, 400, startMs, startMs + 3 * hourMs)
  nowMs = startMs + 4 * hourMs
  await openJob().look()
  nowMs = startMs + 2 * 24 * hourMs + hourMs
  expect(await check(startMs + 600_000, startMs + 3 * hourMs, cpuType, byGroup[1]!)).toEqual([
    'group_1h',
    'samples',
  ])
})

test('a late profile of one service leaves the others to their levels', async () => {
  await store.write(client, 400, startMs, startMs + 3 * hourMs)
  nowMs = startMs + 4 * hourMs
  await openJob().look()
  await store.write(client, 1, startMs + hourMs, startMs + 2 * hourMs)
  await check(startMs, startMs + 3 * hourMs, cpuType, [])
  await check(startMs, startMs + 3 * hourMs, cpuType, byGroup[1]!)
  await check(startMs, startMs + 3 * hourMs, cpuType, byGroup[3]!)
})

test('functions are read from levels', async () => {
  await store.write(client, 400, startMs, startMs + 3 * hourMs)
  nowMs = startMs + 4 * hourMs
  await openJob().look()
  expect(await checkFunctions(startMs, startMs + 3 * hourMs, byGroup[1]!)).toEqual(['functions_1h'])
  expect(await checkFunctions(startMs, startMs + 3 * hourMs, byGroup[4]!)).toEqual(['functions_1h'])
  expect(await checkFunctions(startMs, startMs + 2.5 * hourMs + 5000, byGroup[0]!)).toEqual([
    'functions_1h',
    'group_10m',
    'samples',
  ])
  expect(await checkFunctions(startMs, startMs + 3 * hourMs, bySeries[0]!)).toEqual(['series_1h'])
  // Where functions were not summed, stacks are.
  await client.command({
    query:
      "ALTER TABLE level_state DELETE WHERE level = 'functions_1h' AND time = fromUnixTimestamp({time:UInt32}) SETTINGS mutations_sync = 2",
    query_params: { time: startMs / 1000 + 3600 },
  })
  expect(await checkFunctions(startMs, startMs + 3 * hourMs, byGroup[0]!)).toEqual([
    'functions_1h',
    'group_1h',
  ])
})

test('a range without profiles is empty', async () => {
  nowMs = startMs + 4 * hourMs
  expect(await check(startMs, startMs + 2 * hourMs, cpuType, [])).toEqual(['samples'])
  expect(await checkFunctions(startMs, startMs + 2 * hourMs, [])).toEqual(['samples'])
})

test.each([
  [0, 7 * 3600],
  [630, 7 * 3600 - 90],
  [1200, 6.5 * 3600 + 1],
])('counts of a long range, from second %i to %i', async (first, last) => {
  await store.write(client, 500, startMs, startMs + 7 * hourMs)
  nowMs = startMs + 8 * hourMs
  const from = startMs / 1000 + first
  const to = startMs / 1000 + last
  const matchers = byGroup[3]!
  const scope = { tenant: 'default', range: { from, to }, types: [cpuType], matchers }
  const meta = await readMeta(contextOf(true), scope, { rowsRead: 0, bytesRead: 0 }, undefined)
  const touched = store.profiles.filter(
    profile =>
      profile.type === cpuType &&
      matches(profile, matchers) &&
      profile.timeMs >= Math.floor(from / 600) * 600_000 &&
      profile.timeMs < Math.ceil(to / 600) * 600_000,
  )
  const minutes = new Set(
    touched.flatMap(({ timeMs }) => [Math.floor(timeMs / 60_000), Math.floor((timeMs + 9_999) / 60_000)]),
  )
  const inside = [...minutes].filter(
    minute => minute >= Math.floor(from / 60) && minute < Math.ceil(to / 60),
  ).length
  expect(touched.length).toBeGreaterThan(50)
  expect(meta).toMatchObject({
    profiles: touched.length,
    expected: 7 * touched.length,
    lost: touched.length,
    coveredSeconds: 60 * inside,
    missingMinutes: Math.ceil(to / 60) - Math.floor(from / 60) - inside,
  })
})

test('what a plan is made of: hours, ten minutes where there are none, samples for the rest', () => {
  const h = 3600
  const hours = { from: h, to: 4 * h }
  expect(
    assemblePlan(
      { from: h - 700, to: 4 * h + 5 },
      hours,
      [
        ['group_10m', h - 600, ['7'], []],
        ['group_1h', h, ['1', '2'], []],
        // Nothing stands in hour 2, but in ten of its minutes; hour 3 lacks one service.
        ['group_1h', 2 * h, [], ['api', 'web']],
        ['group_10m', 2 * h + 600, ['8'], []],
        ['group_1h', 3 * h, ['3'], ['web']],
      ],
      ['group_1h'],
    ),
  ).toEqual({
    levels: [
      { level: 'group_1h', range: { from: h, to: 4 * h }, runIds: ['1', '2', '3'] },
      { level: 'group_10m', range: { from: h - 600, to: 2 * h + 1200 }, runIds: ['7', '8'] },
    ],
    raw: [
      { range: { from: h - 700, to: h - 600 }, services: [] },
      { range: { from: 2 * h, to: 2 * h + 600 }, services: [] },
      { range: { from: 2 * h + 1200, to: 3 * h }, services: [] },
      { range: { from: 3 * h, to: 4 * h }, services: ['web'] },
      { range: { from: 4 * h, to: 4 * h + 5 }, services: [] },
    ],
  })
})
