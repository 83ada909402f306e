import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { deleteAllData } from '../delete-data.ts'
import { buildFence } from '../fence.ts'
import { migrate } from '../migrate.ts'
import { parsePlaces } from '../places.ts'
import { LevelJob, type LevelJobOptions } from './job.ts'
import { levelNames, levels } from './level.ts'
import { defaultLevelSettings } from './settings.ts'
import { cpuType, type KnownStore, makeKnownStore } from './testing.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-levels-'))
const startMs = Date.UTC(2026, 10, 1, 10)
const hourMs = 3_600_000
let engine: Engine
let client: StoreClient
let store: KnownStore
let nowMs: number
let counts: Record<string, number>

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
}, 60_000)
afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

beforeEach(async () => {
  await deleteAllData(client)
  nowMs = startMs + 5 * hourMs
  counts = {}
  const random = seededRandom(11)
  store = makeKnownStore(random)
  await store.writeDimensions(client)
})

function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) / 2 ** 24
  }
}

function openJob(options: Partial<LevelJobOptions> = {}): LevelJob {
  return new LevelJob({
    client,
    settings: { ...defaultLevelSettings(), pauseRatio: 0, retryMs: 0 },
    log: quiet,
    metrics: {
      ran(level, reason, outcome, periods) {
        if (periods > 0) counts[`${reason} ${outcome}`] = (counts[`${reason} ${outcome}`] ?? 0) + periods
        if (periods > 0 && level === 'series_1h')
          counts[`hours ${reason}`] = (counts[`hours ${reason}`] ?? 0) + periods
      },
      ranFor() {},
      wrote() {},
      lags() {},
      deleted(_, runs) {
        counts.deleted = (counts.deleted ?? 0) + runs
      },
    },
    now: () => nowMs,
    ...options,
  })
}

async function select(query: string): Promise<(string | number)[][]> {
  return (await client.query({ query, format: 'JSONCompactEachRow' })).json()
}

/** Whatever is recorded with as many profiles as a period has must be exact. Returns for how many periods there is such a run. */
async function checkRuns(): Promise<number> {
  const checked = new Set<string>()
  for (const name of levelNames) {
    const { seconds, sum } = levels[name]
    const runs = await select(
      `SELECT service, type, toUInt32(time), toString(run_id), toUInt32(profiles) FROM level_state WHERE level = '${name}' AND step = 'recorded'`,
    )
    const sums = new Map(
      (
        await select(
          `SELECT toString(run_id), toString(sum(${sum})), toUInt32(sum(samples)) FROM ${name} GROUP BY run_id`,
        )
      ).map(([runId, value, samples]) => [runId, { value: BigInt(value!), samples }]),
    )
    for (const [service, type, time, runId, profiles] of runs) {
      const of = store.profiles.filter(
        profile =>
          profile.service === service &&
          profile.type === type &&
          Math.floor(profile.timeMs / 1000 / seconds) * seconds === time,
      )
      if (of.length !== profiles) continue
      checked.add(`${name} ${service} ${time}`)
      const samples = of.flatMap(profile => profile.samples)
      expect(sums.get(runId!) ?? { value: 0n, samples: 0 }).toEqual({
        value: samples.reduce((total, sample) => total + sample.value, 0n),
        samples: samples.length,
      })
    }
  }
  return checked.size
}

/** How many runs stand once everything counts. */
function periodsOfAll(): number {
  return levelNames.reduce((sum, name) => {
    const { seconds } = levels[name]
    const periods = store.profiles
      .filter(({ type }) => type === cpuType)
      .map(({ service, timeMs }) => `${service} ${Math.floor(timeMs / 1000 / seconds)}`)
    return sum + new Set(periods).size
  }, 0)
}

test('closed periods are summed once, and gauges are not', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  const job = openJob()
  await job.look()
  const all = periodsOfAll()
  expect(await checkRuns()).toBe(all)
  expect(counts).toEqual({ 'new recorded': all, 'hours new': 4 })
  expect(await select('SELECT DISTINCT type FROM level_state')).toEqual([[cpuType]])
  await job.look()
  expect(counts).toEqual({ 'new recorded': all, 'hours new': 4 })
})

test('fences are not profiles', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  await buildFence(client, 'a-group', parsePlaces([`0/${startMs / 900_000}/1`]))
  await openJob().look()
  expect(await checkRuns()).toBe(periodsOfAll())
  expect(await select("SELECT count() FROM level_state WHERE tenant = ''")).toEqual([[0]])
})

test('an open or unsettled period is left alone', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  nowMs = startMs + hourMs + 119_000
  await openJob().look()
  expect(await select("SELECT toUInt32(max(time)) FROM level_state WHERE level = 'group_10m'")).toEqual([
    [startMs / 1000 + 2400],
  ])
  nowMs = startMs + 2 * hourMs + 119_000
  await openJob().look()
  expect(await select("SELECT toUInt32(max(time)) FROM level_state WHERE level = 'series_1h'")).toEqual([
    [startMs / 1000],
  ])
})

test('a period that profiles came for after its run is summed again', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  const job = openJob()
  await job.look()
  const first = await checkRuns()
  await store.write(client, 40, startMs, startMs + hourMs)
  expect(await checkRuns()).toBeLessThan(first)
  await job.look()
  expect(await checkRuns()).toBe(periodsOfAll())
  expect(counts['hours late']).toBe(2)
})

test('a job that ends between any two steps leaves nothing that counts and nothing undone', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  for (const step of ['begun', 'summed', 'verified'] as const)
    for (const level of levelNames) {
      const job = openJob({
        onStep(reached, of) {
          if (reached === step && of === level) throw new Error('power cut')
        },
      })
      await expect(job.look()).rejects.toThrow('power cut')
      await checkRuns()
      await store.write(client, 5, startMs, startMs + 2 * hourMs)
    }
  await openJob().look()
  expect(await checkRuns()).toBe(periodsOfAll())
})

test('a run whose statement is killed or whose samples came in part does not stand', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  // Profiles without their samples: an insert that the engine's end cut between two views.
  await client.command({ query: 'ALTER TABLE samples DELETE WHERE stack_id = 0 SETTINGS mutations_sync = 2' })
  await openJob().look()
  expect(await select("SELECT count() FROM level_state WHERE step = 'recorded'")).not.toEqual([[0]])
  const unsettled = counts['new unsettled']!
  expect(unsettled).toBeGreaterThan(0)
  const whole = await checkRuns()
  expect(whole + unsettled).toBeLessThanOrEqual(periodsOfAll())
})

test('random batches, kills and jobs at once: what counts is exact, and in the end everything counts', async () => {
  const random = seededRandom(29)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const failures = new Set<string>()
  for (let round = 0; round < 12; round++) {
    const cutAt = pick(['begun', 'summed', 'verified', 'recorded', 'never'] as const)
    const cutLevel = pick(levelNames)
    const cut = openJob({
      onStep(step, level) {
        if (step === cutAt && level === cutLevel) throw new Error('power cut')
      },
    })
    let isRunning = true
    const kill = async () => {
      while (isRunning)
        await client.command({
          query: `KILL QUERY WHERE query LIKE '%INSERT INTO ${pick(levelNames)}%' AND query NOT LIKE '%KILL%' ASYNC`,
        })
    }
    const killing = round % 2 === 0 ? kill() : null
    const ends = await Promise.allSettled([
      store.write(client, 30, startMs, startMs + 3 * hourMs),
      cut.look(),
      openJob().look(),
    ])
    isRunning = false
    await killing
    for (const end of ends)
      if (end.status === 'rejected')
        failures.add(/cancelled|killed|power cut/.exec(String(end.reason))?.[0] ?? String(end.reason))
    await checkRuns()
  }
  expect([...failures].filter(failure => failure !== 'killed').sort()).toEqual(['cancelled', 'power cut'])
  expect(store.profiles).toHaveLength(12 * 30)
  await openJob().look()
  expect(await checkRuns()).toBe(periodsOfAll())
})

test('rows of runs that lost count are deleted, and none that counts', async () => {
  await store.write(client, 300, startMs, startMs + 2 * hourMs)
  await Promise.all([openJob().look(), openJob().look()])
  await store.write(client, 40, startMs, startMs + 2 * hourMs)
  const job = openJob()
  await job.look()
  await job.clean()
  expect(counts.deleted).toBeUndefined()
  nowMs += 2 * hourMs
  await job.clean()
  expect(counts.deleted).toBeGreaterThan(60)
  expect(await checkRuns()).toBe(periodsOfAll())
  expect(await select('SELECT toUInt32(uniqExact(level, run_id)) FROM level_state')).toEqual([
    [periodsOfAll()],
  ])
  for (const name of levelNames)
    expect(
      await select(
        `SELECT count() FROM ${name} WHERE run_id NOT IN (SELECT run_id FROM level_state WHERE level = '${name}')`,
      ),
    ).toEqual([[0]])
})
