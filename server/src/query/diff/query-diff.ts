import { parseProfileTypeId, valueKindOf } from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import { selectReplicateSelves, selectReplicates } from '../../storage/select/diff-statements.ts'
import type { ReadUsage } from '../../storage/select/reader.ts'
import type { Scope } from '../../storage/select/statement.ts'
import type { QueryContext } from '../context.ts'
import { finishMeta, type Meta, readMeta } from '../coverage.ts'
import { namedServices, resolveSelection } from '../selection.ts'
import { buildFromSums, readStackSums } from '../trees.ts'
import type { CompareAnswer, SideInput } from './compare-sides.ts'

export interface DiffInput {
  type: string
  queryA: string
  fromA: string
  toA: string
  queryB: string
  fromB: string
  toB: string
  normalize: 'share' | 'rate'
  nodes: number
  limit: number
}

export interface DiffSideAnswer {
  instances: number
  replicates: number
  samples: number
  total: number
  seconds: number
  meta: Meta
}

export interface DiffAnswer extends Omit<CompareAnswer, 'a' | 'b'> {
  unit: string
  normalize: 'share' | 'rate'
  a: DiffSideAnswer
  b: DiffSideAnswer
  warnings: string[]
  elapsedMs: number
}

interface ReadSide {
  side: SideInput
  instances: number
  meta: Meta
}

/** With fewer instances their time is cut in pieces, which tell how much a function varies by itself. */
const enoughInstances = 9
const blocksWanted = 12

/**
 * Which functions changed between two selections of one type, by how much, and whether that is more than noise.
 * Throws what resolveSelection throws; BAD_REQUEST for types that are levels, not sums.
 */
export async function queryDiff(
  context: QueryContext,
  tenant: string,
  input: DiffInput,
  signal: AbortSignal | undefined,
): Promise<DiffAnswer> {
  const startedAt = performance.now()
  const { type } = input
  const [a, b] = await Promise.all([
    readSide(context, tenant, { type, query: input.queryA, from: input.fromA, to: input.toA }, signal),
    readSide(context, tenant, { type, query: input.queryB, from: input.fromB, to: input.toB }, signal),
  ])
  if (a.type !== b.type)
    throw new CodedError(
      'BAD_REQUEST',
      `A is of type ${a.type}, B of ${b.type}; name one type that both have`,
    )
  const unit = parseProfileTypeId(a.type).sampleUnit
  const { normalize, nodes, limit } = input
  const compared = await context.comparer.run({ a: a.side, b: b.side, normalize, nodes, limit }, signal)
  return {
    ...compared,
    ...{ unit, normalize },
    a: { ...compared.a, instances: a.instances, meta: a.meta },
    b: { ...compared.b, instances: b.instances, meta: b.meta },
    warnings: warningsOf(a, b, normalize),
    elapsedMs: Math.round((performance.now() - startedAt) * 10) / 10,
  }
}

async function readSide(
  context: QueryContext,
  tenant: string,
  input: { type: string; query: string; from: string; to: string },
  signal: AbortSignal | undefined,
): Promise<ReadSide & { type: string }> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const type = parseProfileTypeId(scope.type)
  if (valueKindOf(type) !== 'sum')
    throw new CodedError(
      'BAD_REQUEST',
      `${scope.type} is a level or a running count, whose values are no samples; a diff tests sums, such as cpu`,
      { type: scope.type },
    )
  const isTimed = type.sampleType === type.periodType && type.sampleUnit === type.periodUnit
  const whole = await readReplicates(context, scope, wholeRangeSeconds, isTimed, usage, signal)
  const instances = new Set(whole.map(([, instance]) => instance)).size
  const blockSeconds = instances >= enoughInstances ? wholeRangeSeconds : chooseBlock(scope)
  const view = { group: 'function', focus: '', hide: '' }
  const listStacks = async () => {
    const sums = await readStackSums(context, scope, null, usage, signal)
    return buildFromSums(context, scope, sums, view, { kind: 'stacks' }, usage, signal)
  }
  const services = namedServices(scope.matchers)
  const [facts, selfRows, stacks, meta] = await Promise.all([
    blockSeconds === wholeRangeSeconds
      ? whole
      : readReplicates(context, scope, blockSeconds, isTimed, usage, signal),
    context.reader.bytes(selectReplicateSelves(scope, blockSeconds, services), usage, signal),
    listStacks(),
    readMeta(context, scope, usage, signal),
  ])
  return {
    type: scope.type,
    instances,
    side: {
      ...{ stacks, selfRows },
      replicates: facts.map(([id, , samples, seconds, value]) => ({ id, samples, seconds, value })),
    },
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}

/** One block that is longer than any range. */
const wholeRangeSeconds = 2 ** 31

type ReplicateRow = [replicate: string, instance: string, samples: number, seconds: number, value: number]

function readReplicates(
  context: QueryContext,
  scope: Scope,
  blockSeconds: number,
  isTimed: boolean,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<ReplicateRow[]> {
  return context.reader.rows<ReplicateRow>(selectReplicates(scope, blockSeconds, isTimed), usage, signal)
}

/** Whole minutes, ten at most where the range is long: shorter ones are too much alike. */
function chooseBlock({ range }: Scope): number {
  const wanted = (range.to - range.from) / blocksWanted
  return Math.max(60, Math.round(wanted / 60) * 60)
}

function warningsOf(a: ReadSide, b: ReadSide, normalize: 'share' | 'rate'): string[] {
  const warnings: string[] = []
  const share = (count: number, meta: Meta): number => (meta.expected > 0 ? count / meta.expected : 0)
  for (const [what, field] of [
    ['samples without a name', 'unsymbolized'],
    ['stacks cut short', 'truncated'],
    ['samples lost', 'lost'],
  ] as const) {
    const [inA, inB] = [share(a.meta[field], a.meta), share(b.meta[field], b.meta)]
    if (Math.abs(inA - inB) > 0.05)
      warnings.push(`the measurement differs: ${what} are ${percent(inA)} in A and ${percent(inB)} in B`)
  }
  if (a.instances > 0 && b.instances > 0 && Math.min(a.instances, b.instances) < 3)
    warnings.push(
      `A has ${a.instances} and B ${b.instances} instances: what differs between hosts cannot be told from what changed`,
    )
  if (normalize === 'rate')
    warnings.push('rates are compared as if the load of both sides were the same; a busier hour looks slower')
  return warnings
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
