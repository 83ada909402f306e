import { normalQuantile } from './normal.ts'

export interface Shift {
  /** Hodges-Lehmann: the median of b - a over all pairs. */
  shift: number
  /** The interval that holds the true shift with the asked confidence. */
  low: number
  high: number
}

/**
 * By how much b is above a, with the interval that belongs to the Mann-Whitney test (normal approximation
 * of its quantile). a, b: sorted, not empty. confidence: such as 0.95.
 */
export function hodgesLehmannShift(a: Float64Array, b: Float64Array, confidence: number): Shift {
  const pairs = a.length * b.length
  const spread = Math.sqrt((pairs * (a.length + b.length + 1)) / 12)
  const outside = Math.floor(pairs / 2 - normalQuantile((1 - confidence) / 2) * spread)
  const rank = Math.max(0, Math.min(outside, Math.floor((pairs - 1) / 2)))
  const middle = Math.floor((pairs - 1) / 2)
  const low = pairDifference(a, b, middle)
  return {
    shift: pairs % 2 === 1 ? low : (low + pairDifference(a, b, middle + 1)) / 2,
    low: pairDifference(a, b, rank),
    high: pairDifference(a, b, pairs - 1 - rank),
  }
}

/** The difference b - a of rank k (0: the least) of all pairs, without making them: bisection, O(n) a step. */
function pairDifference(a: Float64Array, b: Float64Array, k: number): number {
  let low = b[0]! - a.at(-1)!
  let high = b.at(-1)! - a[0]!
  if (countAtMost(a, b, low) > k) return low
  // low: too few pairs are at or under it; high: enough.
  for (let step = 0; step < 64; step++) {
    const middle = low + (high - low) / 2
    if (middle <= low || middle >= high) break
    if (countAtMost(a, b, middle) > k) high = middle
    else low = middle
  }
  return leastAbove(a, b, low)
}

function countAtMost(a: Float64Array, b: Float64Array, x: number): number {
  let count = 0
  let inB = 0
  for (const value of a) {
    while (inB < b.length && b[inB]! - value <= x) inB++
    count += inB
  }
  return count
}

function leastAbove(a: Float64Array, b: Float64Array, x: number): number {
  let least = Number.POSITIVE_INFINITY
  let inB = 0
  for (const value of a) {
    while (inB < b.length && b[inB]! - value <= x) inB++
    if (inB < b.length) least = Math.min(least, b[inB]! - value)
  }
  return least
}
