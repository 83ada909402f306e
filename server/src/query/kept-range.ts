import { isLeveled } from '../storage/levels/level.ts'
import type { Scope } from '../storage/select/statement.ts'
import type { QueryContext } from './context.ts'
import { areGroupLabels } from './coverage.ts'
import { leastSeconds } from './plan-stacks.ts'

/** stacks: sums over samples, from levels where they reach farther back. profiles, minutes: those tables alone. */
export type RangeReads = 'stacks' | 'profiles' | 'minutes'

const hour = 3600

/**
 * The scope with a range that begins where the tenant's window does, and says so in askedFrom. What is older is not
 * shown although some of it may still be there: it goes by whole partitions. Before the samples only whole hours
 * are left. An empty range stands for one that ended before the window.
 */
export function keepRange<S extends Scope>(
  context: Pick<QueryContext, 'keptFrom' | 'levels' | 'groupLabels'>,
  scope: S,
  reads: RangeReads,
): S {
  const { from, to } = scope.range
  const start = startOf(context, scope, reads)
  if (from >= start) return scope
  return { ...scope, range: { from: Math.min(start, to), to }, askedFrom: from }
}

function startOf(
  context: Pick<QueryContext, 'keptFrom' | 'levels' | 'groupLabels'>,
  { tenant, range, types, matchers }: Scope,
  reads: RangeReads,
): number {
  if (reads === 'profiles') return context.keptFrom(tenant, 'profiles')
  if (reads === 'minutes') return context.keptFrom(tenant, 'totals_1m')
  const samples = context.keptFrom(tenant, 'samples')
  if (range.from >= samples || !context.levels || range.to - range.from < leastSeconds) return samples
  if (types.length !== 1 || !isLeveled(types[0]!)) return samples
  const groups = { from: Math.max(range.from, context.keptFrom(tenant, 'group_1h')), to: range.to }
  const long = areGroupLabels(context, { tenant, range: groups }, matchers) ? 'group_1h' : 'series_1h'
  const hours = Math.ceil(Math.max(range.from, context.keptFrom(tenant, long)) / hour) * hour
  return Math.min(samples, hours)
}
