import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { encodePprof, type FunctionInfo, type Profile, SERIES_LABEL } from '@strobe/profile'
import { ProfileSeriesSchema, type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { seededRandom } from '../cli/src/demo/random.ts'

/** A service of the synthetic fleet: a program, and the stacks that it is ever seen in. */
export interface FleetService {
  name: string
  functions: FunctionInfo[]
  /** Columns of frames: a function at one of its lines. */
  frameFunction: Uint32Array
  frameLine: Uint32Array
  /** Frames, leaf first. */
  stacks: Uint32Array[]
  /** Running sums of the stacks' Zipf(1) weights. */
  weights: Float64Array
}

export interface Window {
  service: FleetService
  instance: number
  /** Names the build: each has frames and stacks of its own, as after a deploy. */
  version: string
  startMs: number
  seconds: number
  /** Distinct stacks to draw; 0 for a process that was alive and idle. */
  stacks: number
  random: () => number
}

const words =
  'handle request parse encode decode cache lookup insert remove update hash map tree node list buffer stream read write flush sync lock unlock wait notify schedule run poll event loop io socket http json proto grpc sql query plan exec scan filter join sort group merge index page block chunk alloc free copy move init shutdown validate auth token session user order cart item price'.split(
    ' ',
  )
export const periodNanos = 52_631_579n
const cpu = { type: 'cpu', unit: 'nanoseconds' }
const maxDepth = 60
const minDepth = 20

/**
 * A program of 3,000 to 6,000 functions and its stacks: walks of a call graph with few callees a function,
 * the first ones taken most, 20 to 60 deep. A function calls each callee from a line of its own and is a leaf
 * at four of its lines. No two stacks are equal. The same seed gives the same program.
 */
export function makeService(name: string, stackCount: number, seed: number): FleetService {
  const random = seededRandom(seed)
  const pick = (count: number) => Math.floor(random() * count)
  const word = () => words[pick(words.length)]!
  const functionCount = 3000 + pick(3000)
  const functions = Array.from({ length: functionCount }, (_, index) => {
    const module = word()
    const type = word()
    const text = `${module}::${word()}_${word()}::${type[0]!.toUpperCase()}${type.slice(1)}::${word()}_${word()}`
    return { name: text, systemName: text, file: `src/${module}.cc`, startLine: 1 + (index % 900) }
  })
  // The first functions call each other: what every request passes through.
  const callees = Array.from({ length: functionCount }, (_, index) =>
    Array.from({ length: 1 + Math.floor(4 * random() * random()) }, () =>
      pick(index < 40 ? 200 : functionCount),
    ),
  )
  const frames = new Map<number, number>()
  const frame = (fn: number, line: number) => {
    const key = fn * 64 + line
    const known = frames.get(key) ?? frames.size
    frames.set(key, known)
    return known
  }
  const seen = new Set<string>()
  const walk = () => {
    const stack: number[] = []
    let fn = 0
    for (let depth = minDepth + pick(maxDepth - minDepth + 1); depth > 1; depth--) {
      const known = callees[fn]!
      // Callbacks and virtual calls leave the graph now and then.
      const isOutside = random() < 0.02
      const call = Math.floor(known.length * random() * random())
      stack.push(frame(fn, isOutside ? 60 : 4 + call))
      fn = isOutside ? pick(functionCount) : known[call]!
    }
    stack.push(frame(fn, pick(4)))
    return Uint32Array.from(stack.reverse())
  }
  const stacks: Uint32Array[] = []
  while (stacks.length < stackCount) {
    const stack = walk()
    if (seen.has(stack.join())) continue
    seen.add(stack.join())
    stacks.push(stack)
  }
  const keys = [...frames.keys()]
  const weights = new Float64Array(stackCount)
  let sum = 0
  for (let rank = 0; rank < stackCount; rank++) {
    sum += 1 / (rank + 1)
    weights[rank] = sum
  }
  return {
    name,
    functions,
    frameFunction: Uint32Array.from(keys, key => key >> 6),
    frameLine: Uint32Array.from(keys, key => functions[key >> 6]!.startLine + (key & 63)),
    stacks,
    weights,
  }
}

/** Sorted by name. Each instance is a pod, hosts hold many. */
export function labelsOf({ service, instance, version }: Window): { name: string; value: string }[] {
  return Object.entries({
    host_name: `host-${instance % 97}`,
    k8s_pod_name: `${service.name}-${instance}`,
    region: `r${instance % 3}`,
    service_name: service.name,
    service_version: version,
  }).map(([name, value]) => ({ name, value }))
}

/** One request with one body, shared by the windows: at least one, all of one service. Body gzipped. */
export function makeRequest(windows: Window[]): WriteRequest {
  return create(WriteRequestSchema, {
    batchId: crypto.getRandomValues(new Uint8Array(16)),
    bodies: [
      {
        pprof: gzipSync(encodePprof(profileOf(windows)), { level: 1 }),
        series: windows.map(window =>
          create(ProfileSeriesSchema, {
            labels: labelsOf(window),
            profileName: 'process_cpu',
            timeUnixNanos: BigInt(window.startMs) * 1_000_000n,
            durationNanos: BigInt(window.seconds) * 1_000_000_000n,
            period: periodNanos,
          }),
        ),
      },
    ],
  })
}

/** Distinct stacks of a window, drawn Zipf(1), with how often each was drawn. */
export function drawStacks({ service, stacks, random }: Window): Map<number, number> {
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
  // A location is a frame of one build.
  const versions = [...new Set(windows.map(window => window.version))]
  const frameCount = service.frameFunction.length
  const locations = new Map<number, number>()
  const stackOffset = [0]
  const stackLocation: number[] = []
  const values: bigint[] = []
  const series: bigint[] = []
  for (const [index, window] of windows.entries()) {
    const version = versions.indexOf(window.version)
    for (const [stack, count] of drawStacks(window)) {
      for (const frame of service.stacks[stack]!) {
        const key = version * frameCount + frame
        const known = locations.get(key)
        const location = known ?? locations.size
        if (known === undefined) locations.set(key, location)
        stackLocation.push(location)
      }
      stackOffset.push(stackLocation.length)
      values.push(BigInt(count) * periodNanos)
      series.push(BigInt(index))
    }
  }
  const used = [...locations.keys()]
  const functions = new Map<number, number>()
  for (const key of used) {
    const fn = service.frameFunction[key % frameCount]!
    if (!functions.has(fn)) functions.set(fn, functions.size)
  }
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
    mappings: versions.map((version, index) => ({
      start: 0x400000n + BigInt(index) * 0x8000000n,
      limit: 0x4000000n + BigInt(index) * 0x8000000n,
      offset: 0n,
      file: `/usr/bin/${service.name}`,
      buildId: `${service.name}-${version}`,
    })),
    functions: [...functions.keys()].map(fn => service.functions[fn]!),
    locationAddress: BigUint64Array.from(
      used,
      key => 0x400000n + BigInt(Math.floor(key / frameCount)) * 0x8000000n + BigInt(key % frameCount) * 64n,
    ),
    locationMapping: Int32Array.from(used, key => Math.floor(key / frameCount)),
    lineOffset: Uint32Array.from({ length: used.length + 1 }, (_, at) => at),
    lineFunction: Int32Array.from(used, key => functions.get(service.frameFunction[key % frameCount]!)!),
    lineNumber: Uint32Array.from(used, key => service.frameLine[key % frameCount]!),
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
