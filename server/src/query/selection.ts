import { matchProfileType, parseProfileTypeId, parseTime, valueKindOf } from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { LabelMatcher, Scope, SecondRange } from '../storage/select/statement.ts'
import { selectTypes } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { keepRange, type RangeReads } from './kept-range.ts'
import { resolveSelector } from './selector.ts'

export interface RangeInput {
  /** Unix ms, RFC 3339, `now` or `now-15m`. */
  from: string
  to: string
}

export interface SelectionInput extends RangeInput {
  /** A profile type id or an unambiguous part of one; '' when the selector has a metric name. */
  type: string
  /** PromQL vector selector. */
  query: string
}

/**
 * Whole seconds: samples are stored by the second, so that every table answers for the same profiles. A start relative
 * to now is taken at the whole ten minutes before it in a range of a day, at the whole hour in one of over two.
 * Throws BAD_TIME.
 */
export function resolveRange(input: RangeInput, now: number): SecondRange {
  const from = Math.floor(parseTime(input.from, now) / 1000)
  const to = Math.ceil(parseTime(input.to, now) / 1000)
  if (from >= to)
    throw new CodedError('BAD_TIME', `the range is empty: from ${input.from} is not before to ${input.to}`, {
      from: input.from,
      to: input.to,
    })
  // DateTime in the store ends in 2106.
  if (from < 0 || to > 4_294_967_295)
    throw new CodedError('BAD_TIME', `the range ${input.from} to ${input.to} is not between 1970 and 2106`, {
      from: input.from,
      to: input.to,
    })
  // Who asks for the last day means no second of it, and whole periods need no samples to be summed.
  if (/^\s*now/.test(input.from)) {
    const seconds = to - from
    if (seconds > 2 * 86_400) return { from: Math.floor(from / 3600) * 3600, to }
    if (seconds >= 86_400) return { from: Math.floor(from / 600) * 600, to }
  }
  return { from, to }
}

/**
 * A scope of one type, found among those that have profiles in the range: the one that `type` names, or the
 * metric name of the selector when `type` is ''. What the selector says of its metric name must fit the type.
 * Throws TYPE_UNKNOWN and TYPE_AMBIGUOUS with the candidates, BAD_REQUEST when nothing names a type, and what
 * resolveRange and resolveSelector throw.
 */
export async function resolveSelection(
  context: QueryContext,
  tenant: string,
  input: SelectionInput,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
  reads: RangeReads = 'stacks',
): Promise<Scope & { type: string }> {
  const range = resolveRange(input, context.now())
  const selector = resolveSelector(input.query)
  const { matchers } = selector
  const wanted = input.type || selector.metricName
  if (wanted === '')
    throw new CodedError(
      'BAD_REQUEST',
      'nothing names a profile type: give type=cpu, or a metric name such as process_cpu{...} in the selector',
    )
  const type = isWholeTypeId(wanted)
    ? wanted
    : await findType(context, { tenant, range, types: [], matchers }, wanted, usage, signal)
  if (!selector.fitsType(type))
    throw new CodedError(
      'BAD_SELECTOR',
      `the selector says by its metric name that the type is not ${type}; leave the name out, or the type`,
      { type, selector: input.query.slice(0, 1000) },
    )
  return keepRange(context, { tenant, range, matchers, types: [type], type }, reads)
}

/**
 * A scope of all types that the metric name of a selector fits; null when it fits none that has profiles in
 * the range.
 */
export async function resolveTypes(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string },
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<Scope | null> {
  const selector = resolveSelector(input.query)
  const range = resolveRange(input, context.now())
  const { matchers } = selector
  const scope = keepRange(context, { tenant, range, types: [] as string[], matchers }, 'minutes')
  if (!selector.hasNames) return scope
  const rows = await context.reader.rows<[string]>(selectTypes(scope), usage, signal)
  const types = rows.map(([id]) => id).filter(id => selector.fitsType(id))
  return types.length === 0 ? null : { ...scope, types }
}

/** A range without profiles has no types to choose from; then the whole tenant's are asked. */
async function findType(
  context: QueryContext,
  scope: Scope,
  wanted: string,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<string> {
  const idsOf = async (of: Scope) =>
    (await context.reader.rows<[string]>(selectTypes(of), usage, signal)).map(([id]) => id)
  const ids = await idsOf(scope)
  if (ids.length > 0) return matchProfileType(wanted, ids)
  return matchProfileType(
    wanted,
    await idsOf({ ...scope, range: { from: 0, to: 4_294_967_295 }, matchers: [] }),
  )
}

/** The id of a counter may also stand for that of its delta, whichever was sent: `...` for `...:delta`. */
function isWholeTypeId(type: string): boolean {
  try {
    return valueKindOf(parseProfileTypeId(type)) !== 'cumulative'
  } catch {
    return false
  }
}

/** The one service a selector names by equality; more or none: []. Lets reads of stacks use the table's key. */
export function namedServices(matchers: LabelMatcher[]): string[] {
  return matchers.filter(({ name, op }) => name === 'service_name' && op === '=').map(({ value }) => value)
}
