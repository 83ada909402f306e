import { normalTail } from './normal.ts'

export interface RankTest {
  /**
   * Two-sided p of the Mann-Whitney U test: could a and b come from one distribution?
   * a, b: sorted, of the sizes that the test was made for.
   */
  p(a: Float64Array, b: Float64Array): number
  /** The least p these sizes can give. */
  leastP: number
}

// Past this the normal approximation is within a few percent even at p = 1e-6.
const exactUpTo = 20

/**
 * The Mann-Whitney test for sides of sizes n1 and n2, whose exact distribution is worked out once. Exact
 * without ties up to 20 values a side; else by the normal approximation with the tie correction.
 */
export function createRankTest(n1: number, n2: number): RankTest {
  const isExact = n1 > 0 && n2 > 0 && n1 <= exactUpTo && n2 <= exactUpTo
  const cumulative = isExact ? cumulativeU(n1, n2) : null
  return {
    leastP: cumulative ? Math.min(1, 2 * cumulative[0]!) : approximateP(0, n1, n2, 0),
    p(a, b) {
      const { u, ties } = countU(a, b)
      const least = Math.min(u, n1 * n2 - u)
      if (cumulative && ties === 0) return Math.min(1, 2 * cumulative[least]!)
      return approximateP(least, n1, n2, ties)
    },
  }
}

function approximateP(least: number, n1: number, n2: number, ties: number): number {
  const n = n1 + n2
  const variance = ((n1 * n2) / 12) * (n + 1 - ties / (n * (n - 1)))
  if (!(variance > 0)) return 1
  // Half a step toward the mean, since U is a whole number.
  const z = Math.max(0, (n1 * n2) / 2 - least - 0.5) / Math.sqrt(variance)
  return Math.min(1, 2 * normalTail(z))
}

/** u: pairs in which b is the larger, ties as a half. ties: the sum of t^3 - t over groups of equal values. */
function countU(a: Float64Array, b: Float64Array): { u: number; ties: number } {
  let u = 0
  let ties = 0
  let inA = 0
  let inB = 0
  while (inA < a.length || inB < b.length) {
    const value = Math.min(a[inA] ?? Number.POSITIVE_INFINITY, b[inB] ?? Number.POSITIVE_INFINITY)
    const beforeA = inA
    const beforeB = inB
    while (inA < a.length && a[inA] === value) inA++
    while (inB < b.length && b[inB] === value) inB++
    const equalA = inA - beforeA
    const equalB = inB - beforeB
    u += equalB * (beforeA + equalA / 2)
    const equal = equalA + equalB
    ties += equal ** 3 - equal
  }
  return { u, ties }
}

/** Entry u: probability of U <= u when both sides are alike. */
function cumulativeU(n1: number, n2: number): Float64Array {
  // ways[m][u]: orders of m values of one side among those of the other so far with that U.
  const most = n1 * n2
  let ways = Array.from({ length: n1 + 1 }, () => new Float64Array(most + 1))
  for (const row of ways) row[0] = 1
  for (let right = 1; right <= n2; right++) {
    const next = Array.from({ length: n1 + 1 }, () => new Float64Array(most + 1))
    next[0]![0] = 1
    for (let left = 1; left <= n1; left++)
      for (let u = 0; u <= left * right; u++)
        // The largest value is on the right, above all of the left, or it is on the left.
        next[left]![u] = (u >= left ? ways[left]![u - left]! : 0) + next[left - 1]![u]!
    ways = next
  }
  const counts = ways[n1]!
  let all = 0
  for (const count of counts) all += count
  const cumulative = new Float64Array(most + 1)
  let sum = 0
  for (let u = 0; u <= most; u++) {
    sum += counts[u]!
    cumulative[u] = sum / all
  }
  return cumulative
}
