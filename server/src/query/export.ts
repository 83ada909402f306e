import { gzipSync } from 'node:zlib'
import {
  buildCallTree,
  encodePprof,
  formatFolded,
  formatSpeedscope,
  type Mapping,
  type Profile,
  parseProfileTypeId,
} from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import { selectPeriods } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, type Meta, readMeta } from './coverage.ts'
import { treeColumns } from './flamegraph.ts'
import { isGauge } from './profile-types.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import { readStacks, type WeighedStacks } from './stacks.ts'

export const exportFormats = ['pprof', 'folded', 'speedscope', 'json'] as const
export type ExportFormat = (typeof exportFormats)[number]

export interface ExportedFile {
  name: string
  contentType: string
  bytes: Uint8Array | string
}

/** A selection as one file; the tree of the JSON form is not pruned. */
export async function queryExport(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & { format: ExportFormat },
  signal: AbortSignal | undefined,
): Promise<ExportedFile> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const type = parseProfileTypeId(scope.type)
  const [stacks, meta, periods] = await Promise.all([
    readStacks(context, scope, isGauge(type), usage, signal),
    readMeta(context, scope, usage, signal),
    context.reader.rows<[period: string]>(selectPeriods(scope), usage, signal),
  ])
  const name =
    `${type.name}-${type.sampleType}-${new Date(meta.from).toISOString().replaceAll(/[:.]/g, '')}`.replaceAll(
      /[^\w.-]/g,
      '_',
    )
  if (input.format === 'json') {
    const tree = buildCallTree(stacks.columns, stacks.values, stacks.trees)
    const answer = {
      type: scope.type,
      unit: type.sampleUnit,
      total: tree.total[0] ?? 0,
      ...treeColumns(tree),
      meta: finishMeta(meta, usage, startedAt, performance.now()),
    }
    return { name: `${name}.json`, contentType: 'application/json', bytes: JSON.stringify(answer) }
  }
  switch (input.format) {
    case 'pprof': {
      const profile = buildProfile(stacks, scope, meta, BigInt(periods[0]?.[0] ?? '0'))
      return {
        name: `${name}.pb.gz`,
        contentType: 'application/octet-stream',
        bytes: gzipSync(encodePprof(profile)),
      }
    }
    case 'folded':
      return {
        name: `${name}.folded.txt`,
        contentType: 'text/plain; charset=utf-8',
        bytes: formatFolded(stacks.columns, stacks.weights, stacks.trees),
      }
    case 'speedscope':
      return {
        name: `${name}.speedscope.json`,
        contentType: 'application/json',
        bytes: formatSpeedscope(name, type.sampleUnit, stacks.columns, stacks.values, stacks.trees),
      }
  }
}

/**
 * Stored stacks as one pprof profile: a location per frame, since inlining was resolved when it was
 * stored. A frame without a name keeps its file, build id and address, so that pprof can name it.
 */
export function buildProfile(
  stacks: WeighedStacks,
  scope: Scope & { type: string },
  meta: Pick<Meta, 'from' | 'to' | 'coveredSeconds'>,
  period: bigint,
): Profile {
  const type = parseProfileTypeId(scope.type)
  const { frames } = stacks
  const mappings: Mapping[] = []
  const mappingOf = new Map<string, number>()
  const functions: Profile['functions'] = []
  const functionOf = new Map<string, number>()
  const locationMapping = new Int32Array(frames.length).fill(-1)
  const locationAddress = new BigUint64Array(frames.length)
  const lineOffset = new Uint32Array(frames.length + 1)
  const lineFunction: number[] = []
  const lineNumber: number[] = []
  for (const [location, frame] of frames.entries()) {
    const { tree } = frame
    if (tree.module !== '' || frame.buildId !== '') {
      const key = `${tree.module}\0${frame.buildId}`
      let mapping = mappingOf.get(key)
      if (mapping === undefined) {
        mapping =
          mappings.push({ start: 0n, limit: 0n, offset: 0n, file: tree.module, buildId: frame.buildId }) - 1
        mappingOf.set(key, mapping)
      }
      locationMapping[location] = mapping
    }
    if (tree.kind === 'unsymbolized') {
      locationAddress[location] = BigInt(frame.address)
    } else {
      const key = frame.functionId === '0' ? `name ${tree.name}` : frame.functionId
      let place = functionOf.get(key)
      if (place === undefined) {
        place =
          functions.push({
            name: tree.name,
            systemName: frame.systemName || tree.name,
            file: tree.file,
            startLine: frame.startLine,
          }) - 1
        functionOf.set(key, place)
      }
      lineFunction.push(place)
      lineNumber.push(frame.line)
    }
    lineOffset[location + 1] = lineFunction.length
  }
  placeMappings(mappings, locationMapping, locationAddress)
  const samples = stacks.weights.length
  return {
    sampleTypes: [{ type: type.sampleType, unit: type.sampleUnit }],
    defaultSampleType: type.sampleType,
    periodType: { type: type.periodType, unit: type.periodUnit },
    period,
    timeNanos: BigInt(meta.from) * 1_000_000n,
    // pprof divides by it; time in which nothing reported would make everything look idle.
    durationNanos: BigInt(Math.round((meta.coveredSeconds * 1000 || meta.to - meta.from) * 1e6)),
    comments: [],
    mappings,
    functions,
    locationAddress,
    locationMapping,
    lineOffset,
    lineFunction: Int32Array.from(lineFunction),
    lineNumber: Uint32Array.from(lineNumber),
    stackOffset: stacks.columns.stackOffset,
    stackLocation: stacks.columns.stackFrame,
    values: BigInt64Array.from(stacks.weights, weight => BigInt.asIntN(64, weight)),
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
