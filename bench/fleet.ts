import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { encodePprof, type FunctionInfo, type Profile, SERIES_LABEL } from '@strobe/profile'
import { ProfileSeriesSchema, type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { seededRandom } from '../cli/src/demo/random.ts'

/** A service of the synthetic fleet: a program, and the stacks that it is ever seen in. */
export interface FleetService {
  name: string
  functions: FunctionInfo[]
  /** Functions, leaf first. */
  stacks: Uint32Array[]
  /** Running sums of the stacks' Zipf(1) weights. */
  weights: Float64Array
}

export interface Window {
  service: FleetService
  instance: number
  startMs: number
  seconds: number
  /** Distinct stacks to draw. */
  stacks: number
  random: () => number
}

const words =
  'handle request parse encode decode cache lookup insert remove update hash map tree node list buffer stream read write flush sync lock unlock wait notify schedule run poll event loop io socket http json proto grpc sql query plan exec scan filter join sort group merge index page block chunk alloc free copy move init shutdown validate auth token session user order cart item price'.split(
    ' ',
  )
const periodNanos = 52_631_579n
const cpu = { type: 'cpu', unit: 'nanoseconds' }
const maxDepth = 60
const minDepth = 20

/**
 * A program of 3,000 to 6,000 functions and its stacks: walks of a call graph with few callees a function,
 * the first ones taken most, 20 to 60 deep. The same seed gives the same program.
 */
export function makeService(name: string, stackCount: number, seed: number): FleetService {
  const random = seededRandom(seed)
  const pick = (count: number) => Math.floor(random() * count)
  const word = () => words[pick(words.length)]!
  const functionCount = 3000 + pick(3000)
  const functions = Array.from({ length: functionCount }, (_, index) => {
    const module = word()
    const type = word()
    const text = `${module}::${word()}_${word()}::${type[0]!.toUpperCase()}${type.slice(1)}<${word()}>::${word()}_${word()}`
    return { name: text, systemName: text, file: `src/${module}.cc`, startLine: 1 + (index % 900) }
  })
  // The first functions call each other: what every request passes through.
  const callees = Array.from({ length: functionCount }, (_, index) =>
    Array.from({ length: 1 + Math.floor(4 * random() * random()) }, () =>
      pick(index < 40 ? 200 : functionCount),
    ),
  )
  const stacks = Array.from({ length: stackCount }, () => {
    const stack = [0]
    const depth = minDepth + pick(maxDepth - minDepth + 1)
    while (stack.length < depth) {
      const known = callees[stack.at(-1)!]!
      // Callbacks and virtual calls leave the graph now and then.
      stack.push(
        random() < 0.02 ? pick(functionCount) : known[Math.floor(known.length * random() * random())]!,
      )
    }
    return Uint32Array.from(stack.reverse())
  })
  const weights = new Float64Array(stackCount)
  let sum = 0
  for (let rank = 0; rank < stackCount; rank++) {
    sum += 1 / (rank + 1)
    weights[rank] = sum
  }
  return { name, functions, stacks, weights }
}

/** One request with one body, shared by the windows: at least one, all of one service. Body gzipped. */
export function makeRequest(windows: Window[]): WriteRequest {
  return create(WriteRequestSchema, {
    batchId: crypto.getRandomValues(new Uint8Array(16)),
    bodies: [
      {
        pprof: gzipSync(encodePprof(profileOf(windows)), { level: 1 }),
        series: windows.map(({ service, instance, startMs, seconds }) =>
          create(ProfileSeriesSchema, {
            labels: Object.entries({
              host_name: `host-${instance % 97}`,
              k8s_pod_name: `${service.name}-${instance}`,
              region: `r${instance % 3}`,
              service_name: service.name,
              service_version: instance % 2 === 0 ? 'v1' : 'v2',
            }).map(([name, value]) => ({ name, value })),
            profileName: 'process_cpu',
            timeUnixNanos: BigInt(startMs) * 1_000_000n,
            durationNanos: BigInt(seconds) * 1_000_000_000n,
            period: periodNanos,
          }),
        ),
      },
    ],
  })
}

/** Distinct stacks of a window, drawn Zipf(1), with how often each was drawn. */
function drawStacks({ service, stacks, random }: Window): Map<number, number> {
  const { weights } = service
  const drawn = new Map<number, number>()
  const wanted = Math.min(stacks, weights.length)
  while (drawn.size < wanted) {
    const point = random() * weights.at(-1)!
    let low = 0
    let high = weights.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (weights[middle]! < point) low = middle + 1
      else high = middle
    }
    drawn.set(low, (drawn.get(low) ?? 0) + 1)
  }
  return drawn
}

function profileOf(windows: Window[]): Profile {
  const { service, startMs, seconds } = windows[0]!
  const locations = new Map<number, number>()
  const stackOffset = [0]
  const stackLocation: number[] = []
  const values: bigint[] = []
  const series: bigint[] = []
  for (const [index, window] of windows.entries()) {
    for (const [stack, count] of drawStacks(window)) {
      for (const fn of service.stacks[stack]!) {
        const known = locations.get(fn)
        const location = known ?? locations.size
        if (known === undefined) locations.set(fn, location)
        stackLocation.push(location)
      }
      stackOffset.push(stackLocation.length)
      values.push(BigInt(count) * periodNanos)
      series.push(BigInt(index))
    }
  }
  const used = [...locations.keys()]
  const samples = values.length
  // A body of one series needs no label: samples without it are series 0's.
  const labels = windows.length > 1 ? samples : 0
  return {
    sampleTypes: [cpu],
    defaultSampleType: '',
    periodType: cpu,
    period: periodNanos,
    timeNanos: BigInt(startMs) * 1_000_000n,
    durationNanos: BigInt(seconds) * 1_000_000_000n,
    comments: [],
    mappings: [
      {
        start: 0x400000n,
        limit: 0x4000000n,
        offset: 0n,
        file: `/usr/bin/${service.name}`,
        buildId: service.name,
      },
    ],
    functions: used.map(fn => service.functions[fn]!),
    locationAddress: BigUint64Array.from(used, fn => 0x400000n + BigInt(fn) * 64n),
    locationMapping: new Int32Array(used.length),
    lineOffset: Uint32Array.from({ length: used.length + 1 }, (_, at) => at),
    lineFunction: Int32Array.from(used, (_, at) => at),
    lineNumber: Uint32Array.from(used, fn => service.functions[fn]!.startLine + 4),
    stackOffset: Uint32Array.from(stackOffset),
    stackLocation: Uint32Array.from(stackLocation),
    values: BigInt64Array.from(values),
    labelOffset: Uint32Array.from({ length: samples + 1 }, (_, at) => Math.min(at, labels)),
    labelKey: new Uint32Array(labels),
    labelString: new Int32Array(labels).fill(-1),
    labelNumber: BigInt64Array.from(labels > 0 ? series : []),
    labelUnit: new Int32Array(labels).fill(-1),
    labelStrings: [SERIES_LABEL],
  }
}
