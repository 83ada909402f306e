import { normalQuantile } from './normal.ts'
import { studentQuantile, studentTail } from './student.ts'

/** A share of samples: `hits` of `samples`, neither needs to be whole. */
export interface Proportion {
  hits: number
  samples: number
}

export interface ProportionTest {
  p: number
  /** b's share less a's, and the interval of it. */
  shift: number
  low: number
  high: number
}

/**
 * Two shares by the pooled test. designEffect: how many times the variance of independent samples theirs
 * is, 1 or more; samples of one process and minute are alike. freedom: degrees of freedom of that estimate,
 * Infinity (a z test) when it is none. reach: half the interval's width, in standard errors.
 */
export function compareProportions(
  a: Proportion,
  b: Proportion,
  designEffect: number,
  freedom: number,
  reach: number,
): ProportionTest {
  const shareA = a.hits / a.samples
  const shareB = b.hits / b.samples
  const shift = shareB - shareA
  const pooled = (a.hits + b.hits) / (a.samples + b.samples)
  const error = Math.sqrt(designEffect * pooled * (1 - pooled) * (1 / a.samples + 1 / b.samples))
  const apart = Math.sqrt(
    designEffect * ((shareA * (1 - shareA)) / a.samples + (shareB * (1 - shareB)) / b.samples),
  )
  return {
    p: error > 0 ? Math.min(1, 2 * studentTail(Math.abs(shift) / error, freedom)) : 1,
    shift,
    low: shift - reach * apart,
    high: shift + reach * apart,
  }
}

/**
 * Samples a side must have to see `from` become `to` with the given power at the one-sided level alpha.
 * 10 % to 11 % at 1e-4 and power 0.9: 47,000.
 */
export function samplesNeeded(from: number, to: number, alpha: number, power: number): number {
  const z = normalQuantile(alpha) + normalQuantile(1 - power)
  return (z * z * (from * (1 - from) + to * (1 - to))) / (to - from) ** 2
}

/**
 * The least growth of a share that is found with the power that `factor` stands for (see visibleFactor).
 *
 * errorAt: standard error of the difference when the share has grown to what is given; a larger share is
 * noisier, so the growth is solved for. Never past 1.
 */
export function smallestVisibleShift(
  share: number,
  factor: number,
  errorAt: (grown: number) => number,
): number {
  let shift = factor * errorAt(share)
  for (let step = 0; step < 30; step++) {
    const next = Math.min(1 - share, factor * errorAt(Math.min(1, share + shift)))
    if (Math.abs(next - shift) < 1e-9) break
    shift = next
  }
  return Math.min(1, shift)
}

/** Standard errors a change must have to be found with the given power at the two-sided level alpha. */
export function visibleFactor(alpha: number, power: number, freedom: number): number {
  return studentQuantile(alpha / 2, freedom) + studentQuantile(1 - power, freedom)
}
