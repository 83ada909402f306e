import { normalQuantile } from '../statistics/normal.ts'
import { createRankTest } from '../statistics/rank-test.ts'
import { hodgesLehmannShift } from '../statistics/shift.ts'
import { studentQuantile, studentTail } from '../statistics/student.ts'
import type { DiffSettings } from './compare-functions.ts'
import { type DiffSide, sum } from './side.ts'

/** value: weight of a replicate. rate: the same over the seconds it covers, so that length divides out. */
export type TotalsBasis = 'value' | 'rate'

export interface TotalsComparison {
  basis: TotalsBasis
  /** Means over replicates, in the unit of the type, a second for rates. */
  a: number
  b: number
  /** (b - a) / a, with its interval; null when a is 0. */
  growth: number | null
  low: number
  high: number
  p: number
  method: 'ranks' | 'welch' | 'counts'
}

/**
 * Whether a replicate of b weighs more than one of a.
 *
 * Ranks from settings.rankReplicates a side on; Welch's t from two a side on; else the numbers of samples,
 * which vary by settings.designEffect times what independent ones do.
 */
export function compareTotals(
  a: DiffSide,
  b: DiffSide,
  basis: TotalsBasis,
  settings: DiffSettings,
): TotalsComparison {
  const left = replicateValues(a, basis)
  const right = replicateValues(b, basis)
  const means = { basis, a: mean(left), b: mean(right) }
  if (means.a <= 0 || means.b <= 0) {
    return { ...means, growth: null, low: 0, high: 0, p: 1, method: 'counts' }
  }
  if (left.length >= settings.rankReplicates && right.length >= settings.rankReplicates) {
    const { shift, low, high } = hodgesLehmannShift(left.sort(), right.sort(), settings.confidence)
    const p = createRankTest(left.length, right.length).p(left, right)
    return {
      ...means,
      ...{ growth: shift / means.a, low: low / means.a, high: high / means.a, p, method: 'ranks' },
    }
  }
  const growth = (means.b - means.a) / means.a
  if (left.length >= 2 && right.length >= 2) {
    const errors = [variance(left) / left.length, variance(right) / right.length] as const
    const error = Math.sqrt(errors[0] + errors[1])
    const freedom =
      (errors[0] + errors[1]) ** 2 /
      (errors[0] ** 2 / (left.length - 1) + errors[1] ** 2 / (right.length - 1) || 1)
    const reach = (error * studentQuantile((1 - settings.confidence) / 2, Math.max(1, freedom))) / means.a
    const t = Math.abs(means.b - means.a) / error
    const p = error > 0 ? 2 * studentTail(t, Math.max(1, freedom)) : Number(growth === 0)
    return { ...means, growth, low: growth - reach, high: growth + reach, p, method: 'welch' }
  }
  // The logarithm of a count of n samples has a variance of 1 / n.
  const error = Math.sqrt(settings.designEffect * (1 / sum(a.samples) + 1 / sum(b.samples)))
  const reach = error * normalQuantile((1 - settings.confidence) / 2)
  const z = Math.abs(Math.log1p(growth)) / error
  return {
    ...means,
    growth,
    low: (1 + growth) * Math.exp(-reach) - 1,
    high: (1 + growth) * Math.exp(reach) - 1,
    p: Math.min(1, 2 * studentTail(z, Number.POSITIVE_INFINITY)),
    method: 'counts',
  }
}

function replicateValues(side: DiffSide, basis: TotalsBasis): Float64Array {
  if (basis === 'value') return side.totals.slice()
  return side.totals.map((total, replicate) => {
    const seconds = side.seconds[replicate]!
    return seconds > 0 ? total / seconds : 0
  })
}

function mean(values: Float64Array): number {
  return values.length > 0 ? sum(values) / values.length : 0
}

function variance(values: Float64Array): number {
  const middle = mean(values)
  let squares = 0
  for (const value of values) squares += (value - middle) ** 2
  return squares / (values.length - 1)
}
