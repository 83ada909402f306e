import { gzipSync } from 'node:zlib'
import {
  type CallTree,
  encodePprof,
  formatFolded,
  formatSpeedscope,
  type Mapping,
  type Profile,
  parseProfileTypeId,
  type TreeFrame,
} from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import { treeColumns } from '../tree-columns.ts'
import { divideRounded } from './exact-totals.ts'
import type { FrameFacts } from './generation.ts'
import type { ExactTotals, ExportFacts, ExportFormat } from './protocol.ts'
import type { StackList } from './sinks.ts'

export interface ExportStacks extends StackList {
  frames: TreeFrame[]
  /** null for a frame that is none in the store, or stands for a group. */
  frameFacts: (FrameFacts | null)[]
}

/**
 * exact: by place, to be divided by the divisor; pprof and folded text hold whole numbers, so means are rounded
 * there. Throws QUERY_TOO_LARGE when the format has no room for what there is.
 */
export function formatStacks(
  format: Exclude<ExportFormat, 'json'>,
  facts: ExportFacts,
  stacks: ExportStacks,
  exact: bigint[],
  divisor: number,
): Uint8Array {
  const weights = Array.from(stacks.place, place =>
    divisor === 1 ? exact[place]! : divideRounded(exact[place]!, BigInt(divisor)),
  )
  return withinText(() => {
    switch (format) {
      case 'pprof':
        return ownBytes(gzipSync(encodePprof(buildProfile(facts, stacks, narrowWeights(weights)))))
      case 'folded':
        return encodeText(formatFolded(stacks, weights, stacks.frames))
      case 'speedscope':
        return encodeText(
          formatSpeedscope(
            facts.name,
            parseProfileTypeId(facts.type).sampleUnit,
            stacks,
            Float64Array.from(stacks.place, place => Number(exact[place]!) / divisor),
            stacks.frames,
          ),
        )
    }
  })
}

/** The tree as JSON, without the closing brace. */
export function formatTree(
  facts: ExportFacts,
  { whole, wholeExact, totalExact }: ExactTotals & { whole: number },
  tree: CallTree,
): Uint8Array {
  const answer = {
    type: facts.type,
    unit: parseProfileTypeId(facts.type).sampleUnit,
    total: tree.total[0] ?? 0,
    totalExact,
    whole,
    wholeExact,
    ...treeColumns(tree),
  }
  return withinText(() => encodeText(JSON.stringify(answer).slice(0, -1)))
}

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Small Buffers share one pool, which must not be handed over. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes)
}

/** A text of JavaScript ends at half a gigabyte. */
function withinText<T>(format: () => T): T {
  try {
    return format()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new CodedError(
      'QUERY_TOO_LARGE',
      `the file would be too large (${error.message}); take a shorter range or fewer series, or format pprof`,
      {},
      { cause: error },
    )
  }
}

/** Tools that read pprof add values up in 64 bits, so not only each but all of them must fit. */
function narrowWeights(weights: bigint[]): BigInt64Array {
  const most = 2n ** 63n - 1n
  let whole = 0n
  for (const weight of weights) whole += weight < 0n ? -weight : weight
  if (whole > most)
    throw new CodedError(
      'QUERY_TOO_LARGE',
      `the stacks weigh ${whole}, a pprof file has room for ${most}; take a shorter range, or format folded or json`,
      { observed: whole.toString(), limit: most.toString() },
    )
  return BigInt64Array.from(weights)
}

/**
 * Stored stacks as one pprof profile: a location per frame, since inlining was resolved when it was
 * stored. A frame without a name keeps its file, build id and address, so that pprof can name it.
 */
function buildProfile(facts: ExportFacts, stacks: ExportStacks, weights: BigInt64Array): Profile {
  const type = parseProfileTypeId(facts.type)
  const { frames, frameFacts } = stacks
  const mappings: Mapping[] = []
  const mappingOf = new Map<string, number>()
  const functions: Profile['functions'] = []
  const functionOf = new Map<string, number>()
  const locationMapping = new Int32Array(frames.length).fill(-1)
  const locationAddress = new BigUint64Array(frames.length)
  const lineOffset = new Uint32Array(frames.length + 1)
  const lineFunction: number[] = []
  const lineNumber: number[] = []
  for (const [location, { name, file, module, kind }] of frames.entries()) {
    const stored = frameFacts[location]
    const buildId = stored?.buildId ?? ''
    if (module !== '' || buildId !== '') {
      const key = `${module}\0${buildId}`
      let mapping = mappingOf.get(key)
      if (mapping === undefined) {
        mapping = mappings.push({ start: 0n, limit: 0n, offset: 0n, file: module, buildId }) - 1
        mappingOf.set(key, mapping)
      }
      locationMapping[location] = mapping
    }
    if (kind === 'unsymbolized' && stored) {
      locationAddress[location] = (BigInt(stored.addressHigh) << 32n) | BigInt(stored.addressLow)
    } else {
      const systemName = stored?.systemName || name
      const startLine = stored?.startLine ?? 0
      const key = `${name}\0${systemName}\0${file}\0${startLine}\0${module}`
      let place = functionOf.get(key)
      if (place === undefined) {
        place = functions.push({ name, systemName, file, startLine }) - 1
        functionOf.set(key, place)
      }
      lineFunction.push(place)
      lineNumber.push(stored?.line ?? 0)
    }
    lineOffset[location + 1] = lineFunction.length
  }
  placeMappings(mappings, locationMapping, locationAddress)
  const samples = weights.length
  return {
    sampleTypes: [{ type: type.sampleType, unit: type.sampleUnit }],
    defaultSampleType: type.sampleType,
    periodType: { type: type.periodType, unit: type.periodUnit },
    period: BigInt(facts.period),
    timeNanos: BigInt(facts.fromMs) * 1_000_000n,
    // pprof divides by it; time in which nothing reported would make everything look idle.
    durationNanos: BigInt(Math.round((facts.coveredSeconds * 1000 || facts.toMs - facts.fromMs) * 1e6)),
    comments: [],
    mappings,
    functions,
    locationAddress,
    locationMapping,
    lineOffset,
    lineFunction: Int32Array.from(lineFunction),
    lineNumber: Uint32Array.from(lineNumber),
    stackOffset: stacks.stackOffset,
    stackLocation: stacks.stackFrame,
    values: weights,
    labelOffset: new Uint32Array(samples + 1),
    labelKey: new Uint32Array(0),
    labelString: new Int32Array(0),
    labelNumber: new BigInt64Array(0),
    labelUnit: new Int32Array(0),
    labelStrings: [],
  }
}

/**
 * pprof takes addresses as places in one address space, so each mapping gets a range of its own and its
 * file offsets stay what they are: address = start + offset in the file.
 */
function placeMappings(
  mappings: Mapping[],
  locationMapping: Int32Array,
  locationAddress: BigUint64Array,
): void {
  const highest = new BigUint64Array(mappings.length)
  for (const [location, mapping] of locationMapping.entries())
    if (mapping >= 0 && locationAddress[location]! > highest[mapping]!)
      highest[mapping] = locationAddress[location]!
  const page = 0x1000n
  let start = page
  for (const [mappingIndex, mapping] of mappings.entries()) {
    mapping.start = start
    mapping.limit = start + ((highest[mappingIndex]! / page) * page + page)
    start = mapping.limit + page
  }
  for (const [location, mapping] of locationMapping.entries())
    if (mapping >= 0 && locationAddress[location] !== 0n)
      locationAddress[location] = locationAddress[location]! + mappings[mapping]!.start
}
