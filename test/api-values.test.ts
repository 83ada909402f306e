/** Counters, gauges, times and label names over the wire, against figures of `go tool pprof` and by hand. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import { decodePprof, encodePprof, type Profile } from '@strobe/profile'
import { profileFromColumns } from '@strobe/profile/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

const run = promisify(execFile)
let server: TestServer
let folder: string

beforeAll(async () => {
  server = await startTestServer()
  folder = await mkdtemp(join(tmpdir(), 'strobe-values-'))
})
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

const heapTimes = ['272337470', '275338070', '281339135', '287338709', '293338714', '299337903'].map(
  time => `1644509${time}000`,
)
const heapFile = (time: string) => `pprof/series-heap/${time}.pb.gz`
/** A whole second ten minutes ago stands for the second of the first file. */
const heapStart = Math.floor(Date.now() / 1000) - 600

interface Answer {
  total: number
  totalExact: string
  functions: { name: string; self: number; total: number }[]
  series: { points: [number, number | null][] }[]
  meta: { profiles: number; coveredSeconds: number; retimed: number; resets: number }
}

async function get(path: string, parameters: Record<string, string | number>): Promise<Answer> {
  const { status, body } = await server.get(path, parameters)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

/** Each list is sent at once, the next one after it. */
async function pushHeap(service: string, ...order: number[][]): Promise<void> {
  for (const part of order)
    await Promise.all(
      part.map(async index => {
        const time = heapTimes[index]!
        const profile = decodePprof(gunzipSync(await readConformance(heapFile(time))))
        const timeNanos = BigInt(time) - 1_644_509_272_000_000_000n + BigInt(heapStart) * 1_000_000_000n
        const { status } = await server.push(gzipSync(encodePprof({ ...profile, timeNanos })), { service })
        expect(status).toBe(200)
      }),
    )
}
const heapRange = (service: string, from: number, to: number) => ({
  query: `{service_name="${service}"}`,
  from: (heapStart + from) * 1000,
  to: (heapStart + to) * 1000,
})

test('a series of heap profiles: alloc_* is what was added, inuse_* the level over time', async () => {
  // Late and out of order, as after a failed upload.
  await pushHeap('heap', [0, 2, 5], [1, 4, 3])
  const alloc = await get('functions', { type: 'alloc_space', ...heapRange('heap', 0, 33), limit: 10_000 })
  // go tool pprof -diff_base=FIRST LAST -sample_index=alloc_space
  expect(alloc.total).toBe(97_394_002)
  const selfOf = (name: string) =>
    alloc.functions.filter(each => each.name === name).reduce((sum, each) => sum + each.self, 0)
  expect(selfOf('github.com/dgraph-io/badger/v3/skl.newArena')).toBe(87_244_800)
  expect(selfOf('github.com/dgraph-io/ristretto.newCmRow')).toBe(1_332_474)
  expect(selfOf('github.com/dgraph-io/ristretto.NewCache')).toBe(666_237)
  expect(alloc.meta).toMatchObject({ profiles: 6, coveredSeconds: 27, resets: 0 })
  const objects = await get('functions', { type: 'alloc_objects', ...heapRange('heap', 0, 33) })
  expect(objects.total).toBe(29_280)
  // Up to the fifth nothing was added; the sixth alone has it all.
  expect((await get('functions', { type: 'alloc_space', ...heapRange('heap', 0, 27) })).total).toBe(0)
  expect((await get('flamegraph', { type: 'alloc_space', ...heapRange('heap', 27, 28) })).total).toBe(
    97_394_002,
  )

  // Five hold 27 s with 48,928,729 bytes, the sixth 6 s, as long as the one before it, with 143,698,391.
  const inuse = await get('functions', { type: 'inuse_space', ...heapRange('heap', 0, 600) })
  expect(inuse.total).toBeCloseTo((27 * 48_928_729 + 6 * 143_698_391) / 33, 3)
  expect(inuse.meta).toMatchObject({ profiles: 6, coveredSeconds: 33 })
  const line = await get('series', { type: 'inuse_space', ...heapRange('heap', 0, 33), points: 4 })
  for (const [, value] of line.series[0]!.points) {
    expect(value).toBeGreaterThanOrEqual(48_928_729)
    expect(value).toBeLessThanOrEqual(143_698_391)
  }
})

test('profile types tell the kind of their values', async () => {
  await pushHeap('kinds', [0])
  const { body } = await server.get('profile-types', {
    from: 'now-1h',
    to: 'now',
    query: '{service_name="kinds"}',
  })
  const { types } = body as { types: { sampleType: string; kind: string }[] }
  expect(Object.fromEntries(types.map(({ sampleType, kind }) => [sampleType, kind]))).toEqual({
    alloc_objects: 'cumulative',
    alloc_space: 'cumulative',
    inuse_objects: 'gauge',
    inuse_space: 'gauge',
  })
})

const hasGo = spawnSync('go', ['version']).status === 0
test.runIf(hasGo)(
  `go tool pprof -diff_base says the same of every function${hasGo ? '' : ' (not run: go is not installed)'}`,
  async () => {
    await pushHeap('go', [5, 0])
    const [base, last] = await Promise.all(
      [heapTimes[0]!, heapTimes[5]!].map(async time => {
        const path = join(folder, `${time}.pb.gz`)
        await writeFile(path, await readConformance(heapFile(time)))
        return path
      }),
    )
    const { stdout } = await run('go', [
      'tool',
      'pprof',
      '-symbolize=none',
      '-top',
      '-nodefraction=0',
      '-unit=B',
      '-sample_index=alloc_space',
      `-diff_base=${base}`,
      last!,
    ])
    const want = new Map<string, [self: number, total: number]>()
    for (const line of stdout.split('\n')) {
      const match = /^\s*(\d+)B?\s+\S+%\s+\S+%\s+(\d+)B\s+\S+%\s+(.*?)(?: \((?:partial-)?inline\))?$/.exec(
        line,
      )
      if (match) want.set(match[3]!, [Number(match[1]), Number(match[2])])
    }
    expect(want.size).toBeGreaterThan(50)
    const { functions } = await get('functions', {
      type: 'alloc_space',
      ...heapRange('go', 0, 60),
      limit: 10_000,
    })
    const got = new Map(functions.map(({ name, self, total }) => [name, [self, total]]))
    expect(got).toEqual(want)
  },
)

const counter = (timeMs: number, value: bigint, durationNanos = 0n): Profile => ({
  ...profileFromColumns(`
    1
    main
    make`),
  sampleTypes: [{ type: 'alloc_space', unit: 'bytes' }],
  periodType: { type: 'space', unit: 'bytes' },
  timeNanos: BigInt(timeMs) * 1_000_000n,
  durationNanos,
  values: BigInt64Array.of(value),
})
const minutesAgo = (minutes: number) => Date.now() - minutes * 60_000

test.each([
  ['plain counters are subtracted', {}, 0n, 300],
  ['what a client has subtracted is added', { 'label.__delta__': 'false' }, 0n, 650],
  ['profiles of a window are added', {}, 60_000_000_000n, 650],
] as const)('%s', async (name, parameters, durationNanos, total) => {
  const service = name.replaceAll(' ', '-')
  const sent = [
    [10, 100n],
    [9, 150n],
    [8, 400n],
  ] as const
  await Promise.all(
    sent.map(([minutes, value]) =>
      server.push(gzipSync(encodePprof(counter(minutesAgo(minutes), value, durationNanos))), {
        service,
        ...parameters,
      }),
    ),
  )
  const range = { query: `{service_name="${service}"}`, from: 'now-1h', to: 'now' }
  for (const type of ['alloc_space', 'memory:alloc_space:bytes:space:bytes'])
    expect((await get('functions', { type, ...range })).total).toBe(total)
})

test('a goroutine profile with a sample without locations keeps it, under [no stack]', async () => {
  const goroutines: Profile = {
    ...profileFromColumns(`
      3     5
      main  .
      wait  .`),
    sampleTypes: [{ type: 'goroutine', unit: 'count' }],
    periodType: { type: 'goroutine', unit: 'count' },
    timeNanos: BigInt(minutesAgo(2)) * 1_000_000n,
  }
  const { status } = await server.push(gzipSync(encodePprof(goroutines)), { service: 'stackless' })
  expect(status).toBe(200)
  const answer = await get('functions', {
    type: 'goroutine',
    query: '{service_name="stackless"}',
    from: 'now-1h',
    to: 'now',
  })
  expect([answer.total, answer.totalExact]).toEqual([8, '8'])
  expect(answer.functions.find(({ name }) => name === '[no stack]')?.self).toBe(5)
})

test('answers say how many of their profiles have the time of receipt', async () => {
  const profile = counter(0, 7n)
  const sent: [service: string, profile: Profile][] = [
    ['times', { ...profile, timeNanos: 0n }],
    ['times', { ...profile, timeNanos: 1_000_000_000n }],
    ['times', { ...profile, timeNanos: BigInt(minutesAgo(70)) * 1_000_000n }],
  ]
  const answers = await Promise.all(
    sent.map(([service, each]) => server.push(gzipSync(encodePprof(each)), { service })),
  )
  expect(answers.map(({ body }) => (body as { originalTime?: string }).originalTime)).toEqual([
    undefined,
    '1970-01-01T00:00:01.000Z',
    undefined,
  ])
  const range = { type: 'alloc_space', query: '{service_name="times"}' }
  const { meta } = await get('functions', { ...range, from: 'now-2h', to: 'now+1m' })
  expect(meta).toMatchObject({ profiles: 3, retimed: 2 })
  expect((await get('functions', { ...range, from: 'now-2h', to: 'now-30m' })).meta).toMatchObject({
    profiles: 1,
    retimed: 0,
  })
})

test('what weighs more than 2^63 is exact as text, and pprof refuses it instead of wrapping', async () => {
  const large = 2n ** 63n - 1n
  const profile: Profile = {
    ...profileFromColumns(`
      1     1
      main  main
      a     b`),
    timeNanos: BigInt(minutesAgo(2)) * 1_000_000n,
    durationNanos: 1_000_000_000n,
    values: BigInt64Array.of(large, large - 6n),
  }
  expect((await server.push(gzipSync(encodePprof(profile)), { service: 'large' })).status).toBe(200)
  const query = { type: 'cpu', query: '{service_name="large"}', from: 'now-1h', to: 'now' }
  const exact = String(2n * large - 6n)
  for (const path of ['flamegraph', 'functions'])
    expect(await get(path, query)).toMatchObject({ totalExact: exact, wholeExact: exact })
  expect(await get('flamegraph', { ...query, at: '["main"]' })).toMatchObject({
    totalExact: null,
    wholeExact: exact,
  })
  expect(await get('functions', { ...query, focus: '^b$' })).toMatchObject({
    totalExact: String(large - 6n),
    wholeExact: exact,
  })
  const file = (format: string) => {
    const url = new URL('api/v1/profile', server.url)
    url.search = new URLSearchParams({ ...query, format }).toString()
    return fetch(url)
  }
  const folded = await (await file('folded')).text()
  expect(folded.trim().split('\n').sort()).toEqual([`main;a ${large}`, `main;b ${large - 6n}`])
  const refused = await file('pprof')
  expect(refused.status).toBe(422)
  const { code, message } = (await refused.json()) as { code: string; message: string }
  expect(code).toBe('QUERY_TOO_LARGE')
  expect(message).toContain(exact)
  expect(message).toContain(String(large))
})

test('the same work sampled at 100 Hz and at 1 kHz is the same in every unit of time', async () => {
  // 200 ms of a and 100 ms of b in a second, as two samplers count them.
  for (const [service, samples, period] of [
    ['hz100', [20n, 10n], 10_000_000n],
    ['hz1000', [200n, 100n], 1_000_000n],
  ] as const) {
    const profile: Profile = {
      ...profileFromColumns(`
        1     1
        main  main
        a     b`),
      sampleTypes: [
        { type: 'samples', unit: 'count' },
        { type: 'cpu', unit: 'nanoseconds' },
      ],
      period,
      timeNanos: BigInt(minutesAgo(2)) * 1_000_000n,
      durationNanos: 1_000_000_000n,
      values: BigInt64Array.from(samples.flatMap(count => [count, count * period])),
    }
    expect((await server.push(gzipSync(encodePprof(profile)), { service })).status).toBe(200)
  }
  const of = async (service: string) => {
    const query = { type: 'cpu', query: `{service_name="${service}"}`, from: 'now-1h', to: 'now' }
    const { functions, total } = await get('functions', query)
    const [line] = (await get('series', { ...query, points: 60 })).series
    const cores = line!.points.map(([, value]) => value).filter(value => value !== null)
    return { total, self: functions.map(({ name, self }) => [name, self]), cores }
  }
  const slow = await of('hz100')
  expect(slow).toEqual(await of('hz1000'))
  expect(slow.total).toBe(300_000_000)
  expect(slow.cores).toEqual([expect.closeTo(0.3, 12)])
})
