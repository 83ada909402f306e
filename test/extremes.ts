import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { encodePprof, type Profile } from '@strobe/profile'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { connectIngest } from '@strobe/server'

export interface ExtremesReport {
  /** Of the flame graph over all stacks of the wide service, ms; and of its table of functions. */
  wideGraphMs: number
  wideFunctionsMs: number
  /** Codes of those of the two that were refused because they take too long or too much memory, with the way out. */
  refusals: string[]
  /** Whatever is not as documented. */
  problems: string[]
}

interface ExtremesOptions {
  /** Distinct stacks of one service: whole thousands. */
  stacks: number
  /** Values of one label. */
  labelValues: number
}

const period = 10_000_000n
const stacksPerBody = 5_000
const fanOut = 1_000
const commonFrames = 6
const deepFrames = 2_000
const hourMs = 3_600_000

/** Sends what no ordinary service is like, and reads it back. */
export async function runExtremes(
  server: { url: string; grpcAddress: string },
  { stacks, labelValues }: ExtremesOptions,
): Promise<ExtremesReport> {
  const problems: string[] = []
  const refusals: string[] = []
  const ingest = connectIngest(server.grpcAddress)
  const expectEqual = (what: string, actual: unknown, wanted: unknown) => {
    if (actual !== wanted) problems.push(`${what} is ${String(actual)}, must be ${String(wanted)}`)
  }
  try {
    const bodies = Math.ceil(stacks / stacksPerBody)
    for (let first = 0; first < bodies; first += 4)
      await Promise.all(
        Array.from({ length: Math.min(4, bodies - first) }, (_, at) =>
          ingest.write(
            wideRequest(
              (first + at) * stacksPerBody,
              Math.min(stacksPerBody, stacks - (first + at) * stacksPerBody),
            ),
          ),
        ),
      )
    await ingest.write(deepRequest())
    const series = 1000
    for (let first = 0; first < labelValues; first += series)
      await ingest.write(labelledRequest(first, Math.min(series, labelValues - first)))

    const isRefused = ({ code = '' }: Answer) => {
      const isDocumented = /^QUERY_TOO_(SLOW|LARGE)$/.test(code)
      if (isDocumented) refusals.push(code)
      return isDocumented
    }
    const graph = await read(server.url, 'flamegraph', 'wide')
    if (!isRefused(graph.body))
      expectEqual('the total of the wide flame graph', graph.body.total, Number(period) * stacks)
    const functions = await read(server.url, 'functions', 'wide', { limit: '10000' })
    if (!isRefused(functions.body)) {
      const leaves = new Map(functions.body.functions?.map(each => [each.name, each.self]))
      for (let leaf = 0; leaf < fanOut && problems.length < 10; leaf++)
        expectEqual(`self of leaf ${leaf}`, leaves.get(`leaf ${leaf}`), (Number(period) * stacks) / fanOut)
    }

    const deep = await read(server.url, 'functions', 'deep', { limit: '10000' })
    expectEqual('the total of the deep stack', deep.body.total, Number(period))
    for (const each of deep.body.functions ?? [])
      expectEqual(`the total of ${each.name}, which calls itself`, each.total, Number(period))
    expectEqual('functions of the deep stack', deep.body.functions?.length, 40)
    const deepGraph = await read(server.url, 'flamegraph', 'deep')
    expectEqual('the total of the deep flame graph', deepGraph.body.total, Number(period))

    const values = await readValues(server.url)
    expectEqual('values of the label', new Set(values).size, labelValues)
    problems.push(...(await checkClocks(server, ingest)))
    return { wideGraphMs: graph.elapsedMs, wideFunctionsMs: functions.elapsedMs, refusals, problems }
  } finally {
    ingest.close()
  }
}

/** An hour behind is stored where it says; an hour ahead is refused by name, with both times. */
async function checkClocks(
  server: { url: string },
  ingest: ReturnType<typeof connectIngest>,
): Promise<string[]> {
  const problems: string[] = []
  const request = (service: string, atMs: number) =>
    requestOf(oneStackProfile(), [{ service_name: service }], atMs)
  await ingest.write(request('behind', Date.now() - hourMs))
  const behind = await read(server.url, 'flamegraph', 'behind', { from: 'now-65m', to: 'now-55m' })
  if (behind.body.total !== Number(period)) problems.push('a profile an hour behind is not where it says')
  const refusal = await ingest.write(request('ahead', Date.now() + hourMs)).then(
    () => 'nothing',
    (error: Error) => error.message,
  )
  if (!/TIME_OUT_OF_WINDOW.* starts at 20.* was received at 20/.test(refusal))
    problems.push(`a profile an hour ahead is answered by ${refusal}`)
  const metrics = await (await fetch(new URL('metrics', server.url))).text()
  if (!/refused[^\n]*TIME_OUT_OF_WINDOW[^\n]* 1\n/.test(metrics)) problems.push('the refusal is not counted')
  return problems
}

interface Answer {
  total?: number
  functions?: { name: string; self: number; total: number }[]
  code?: string
}

async function read(
  url: string,
  path: string,
  service: string,
  parameters: Record<string, string> = {},
): Promise<{ body: Answer; elapsedMs: number }> {
  const target = new URL(`api/v1/${path}`, url)
  target.search = new URLSearchParams({
    type: 'cpu',
    query: `{service_name="${service}"}`,
    from: 'now-30m',
    to: 'now+1m',
    ...parameters,
  }).toString()
  const startedAt = performance.now()
  const body = (await (await fetch(target)).json()) as Answer
  return { body, elapsedMs: performance.now() - startedAt }
}

async function readValues(url: string): Promise<string[]> {
  const target = new URL('api/v1/labels/pod/values?from=now-30m&to=now%2B1m', url)
  const { values } = (await (await fetch(target)).json()) as { values?: string[] }
  return values ?? []
}

/** Stacks first to first + count - 1: `leaf i % 1000; middle i / 1000; common frames`. */
function wideRequest(first: number, count: number): WriteRequest {
  const names: string[] = []
  const locations = new Map<string, number>()
  const location = (name: string) => {
    const known = locations.get(name)
    if (known !== undefined) return known
    locations.set(name, names.length)
    return names.push(name) - 1
  }
  const stacks = Array.from({ length: count }, (_, at) => {
    const stack = first + at
    return [
      location(`leaf ${stack % fanOut}`),
      location(`middle ${Math.floor(stack / fanOut)}`),
      ...Array.from({ length: commonFrames }, (_, depth) => location(`common ${depth}`)),
    ]
  })
  return requestOf(profileOf(names, stacks), [{ service_name: 'wide' }])
}

/** One stack of 40 functions that call each other in turn. */
function deepRequest(): WriteRequest {
  const names = Array.from({ length: 40 }, (_, at) => `step ${at}`)
  const stack = Array.from({ length: deepFrames }, (_, depth) => depth % 40)
  return requestOf(profileOf(names, [stack]), [{ service_name: 'deep' }])
}

/** One profile for each of `count` pods; they share one stack. */
function labelledRequest(first: number, count: number): WriteRequest {
  return requestOf(
    oneStackProfile(),
    Array.from({ length: count }, (_, at) => ({ service_name: 'many', pod: `pod-${first + at}` })),
  )
}

function oneStackProfile(): Profile {
  return profileOf(['main'], [[0]])
}

function requestOf(
  profile: Profile,
  series: Record<string, string>[],
  atMs = Date.now() - 60_000,
): WriteRequest {
  return create(WriteRequestSchema, {
    batchId: crypto.getRandomValues(new Uint8Array(16)),
    bodies: [
      {
        pprof: gzipSync(encodePprof(profile), { level: 1 }),
        series: series.map(labels => ({
          labels: Object.entries(labels)
            .map(([name, value]) => ({ name, value }))
            .sort((a, b) => (a.name < b.name ? -1 : 1)),
          profileName: 'process_cpu',
          timeUnixNanos: BigInt(atMs) * 1_000_000n,
          durationNanos: 10_000_000_000n,
          period,
        })),
      },
    ],
  })
}

/** stacks: positions in names, leaf first; each has one sample of one period. */
function profileOf(names: readonly string[], stacks: readonly number[][]): Profile {
  const cpu = { type: 'cpu', unit: 'nanoseconds' }
  const offsets = new Uint32Array(stacks.length + 1)
  for (const [at, stack] of stacks.entries()) offsets[at + 1] = offsets[at]! + stack.length
  return {
    sampleTypes: [cpu],
    defaultSampleType: '',
    periodType: cpu,
    period,
    timeNanos: 0n,
    durationNanos: 10_000_000_000n,
    comments: [],
    mappings: [{ start: 0n, limit: 0n, offset: 0n, file: '/usr/bin/app', buildId: 'b1' }],
    functions: names.map(name => ({ name, systemName: name, file: 'app.c', startLine: 1 })),
    locationAddress: new BigUint64Array(names.length),
    locationMapping: new Int32Array(names.length),
    lineOffset: Uint32Array.from({ length: names.length + 1 }, (_, at) => at),
    lineFunction: Int32Array.from(names.keys()),
    lineNumber: new Uint32Array(names.length).fill(1),
    stackOffset: offsets,
    stackLocation: Uint32Array.from(stacks.flat()),
    values: new BigInt64Array(stacks.length).fill(period),
    labelOffset: new Uint32Array(stacks.length + 1),
    labelKey: new Uint32Array(0),
    labelString: new Int32Array(0),
    labelNumber: new BigInt64Array(0),
    labelUnit: new Int32Array(0),
    labelStrings: [],
  }
}
