/**
 * Takes away the nulls that are no gaps: where profiles last longer than a step, the steps between two of
 * them hold none. Longer silence than one and a half times the usual distance stays null.
 */
export function bridgeSteps(points: [ms: number, value: number | null][]): [number, number | null][] {
  const reported = points.flatMap(([ms, value], index) => (value === null ? [] : [{ ms, index }]))
  const distances = reported.slice(1).map(({ ms }, which) => ms - (reported[which]?.ms ?? ms))
  const usualMs = distances.toSorted((a, b) => a - b)[distances.length >> 1]
  if (usualMs === undefined) return points
  const kept = points.map(() => true)
  for (let which = 1; which < reported.length; which++) {
    const before = reported[which - 1]
    const after = reported[which]
    if (before && after && after.ms - before.ms <= usualMs * 1.5)
      kept.fill(false, before.index + 1, after.index)
  }
  return points.filter((_, index) => kept[index])
}
