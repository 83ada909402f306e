import { selectCoverage } from '../storage/select/coverage.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import { selectFrames, selectFunctions, selectStacks } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { type CoverageRow, kindOf, wholeRange } from './coverage.ts'
import { planFunctionSums, planStackSums } from './plan-stacks.ts'
import { compileRegex } from './regex.ts'
import { namedServices } from './selection.ts'
import type { Group, TreeAnswer, TreeRequest, TreeWork } from './tree/protocol.ts'

/** What frames are summed by, and which stacks and frames count. */
export interface View {
  /** `function`, `file`, `line`, `module`, `package` or `label:NAME`. */
  group: string
  /** RE2 over function names: only stacks with a match. '' for all. */
  focus: string
  /** RE2 over function names: matching frames leave their stacks, their weight stays with the callers. */
  hide: string
}

/** As written in `group`; and `label:NAME`. */
export const groups = ['function', 'file', 'line', 'module', 'package'] as const

/** Throws BAD_REGEX: before anything is read. */
export function checkView(view: View): void {
  compileRegex('focus', view.focus)
  compileRegex('hide', view.hide)
}

/** What the stacks of a selection weigh: sums, gains of counters, levels of gauges (docs/values.md). */
export interface StackSumRows {
  /** RowBinary rows of (stack_id, Int128); with a label its value stands before them. */
  rows: Buffer
  /**
   * What to divide by: 1, but for gauges, whose sums are value x seconds, the seconds that the selection
   * covers.
   */
  divisor: number
}

export async function readStackSums(
  context: QueryContext,
  scope: Scope & { type: string },
  label: string | null,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<StackSumRows> {
  const { reader } = context
  const statement = await planStackSums(context, scope, label, usage, signal)
  const rows = reader.bytes(statement, usage, signal)
  if (kindOf(scope) !== 'gauge') return { rows: await rows, divisor: 1 }
  const whole = { by: [], stepSeconds: wholeRange, withMinutes: false }
  const covered = reader.rows<CoverageRow>(selectCoverage(scope, 'gauge', whole), usage, signal)
  const [levels, [row]] = await Promise.all([rows, covered])
  // Levels begin and end at whole seconds.
  return { rows: levels, divisor: Math.max(1, Math.round((row?.[4] ?? 0) / 1000)) }
}

/**
 * Sums by function where levels have them, and stacks for the rest. Levels know functions as they are: of any other
 * view all are stacks.
 */
export async function readFunctionSums(
  context: QueryContext,
  scope: Scope & { type: string },
  view: View,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<{ sums: Uint8Array | null; stacks: StackSumRows }> {
  const isPlain = view.group === 'function' && view.focus === '' && view.hide === ''
  const plan = isPlain ? await planFunctionSums(context, scope, usage, signal) : null
  if (!plan)
    return { sums: null, stacks: await readStackSums(context, scope, rootLabel(view), usage, signal) }
  const [sums, rows] = await Promise.all([
    context.reader.bytes(plan.functions, usage, signal),
    plan.stacks ? context.reader.bytes(plan.stacks, usage, signal) : Buffer.alloc(0),
  ])
  return { sums, stacks: { rows, divisor: 1 } }
}

/** Puts sums of readStackSums together as the work asks. */
export function buildFromSums<Work extends TreeWork>(
  context: QueryContext,
  scope: Scope,
  sums: StackSumRows,
  view: View,
  work: Work,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<TreeAnswer & { kind: Work['kind'] }> {
  const { tenant } = scope
  const services = namedServices(scope.matchers)
  const request = {
    tenant,
    group: groupOf(view, work),
    focus: view.focus,
    hide: view.hide,
    divisor: sums.divisor,
    work,
    limits: context.treeLimits,
  } satisfies TreeRequest
  const worker = work.kind === 'file' ? context.exports : context.trees
  return worker.run<Work['kind']>(
    request as TreeRequest & { work: Work },
    sums.rows,
    (kind, ids) => {
      const statement =
        kind === 'stacks'
          ? selectStacks(tenant, services, ids)
          : kind === 'frames'
            ? selectFrames(tenant, ids)
            : selectFunctions(tenant, ids)
      return context.reader.bytes(statement, usage, signal)
    },
    signal,
  )
}

/** The label that answers are split by, null for none. */
export function rootLabel(view: View): string | null {
  return view.group.startsWith('label:') ? view.group.slice('label:'.length) : null
}

function groupOf(view: View, work: TreeWork): Group {
  const label = rootLabel(view)
  if (label !== null) return { label }
  const group = groups.find(each => each === view.group) ?? 'function'
  return group === 'function' && work.kind === 'file' && work.format !== 'json' ? 'frame' : group
}
