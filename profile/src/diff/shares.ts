import { type DiffSide, sum } from './side.ts'

/** A function on one side. */
export interface FunctionHits {
  weight: number
  /** Of what has not been set aside. */
  share: number
  /** Samples that the weight stands for. */
  samples: number
}

/** Self shares of one side, of all its functions but those set aside. */
export interface SideShares {
  replicates: number
  /** Of what has not been set aside, as samples of equal weight. */
  readonly samples: number
  hits(index: number): FunctionHits
  /** The share in each replicate that has samples left. */
  shares(index: number): { sorted: Float64Array; variance: number }
  setAside(index: number): void
  /** Of each replicate, what has not been set aside. */
  replicateSamples(): Float64Array
}

export function sharesOf(side: DiffSide): SideShares {
  const totals = side.totals.slice()
  const samples = side.samples.slice()
  let allWeight = sum(totals)
  let allSamples = effectiveSamples(totals, samples)
  return {
    replicates: totals.length,
    get samples() {
      return allSamples
    },
    hits(index) {
      let weight = 0
      for (let at = side.selfOffset[index]!; at < side.selfOffset[index + 1]!; at++)
        weight += side.selfWeight[at]!
      const share = allWeight > 0 ? weight / allWeight : 0
      return { weight, share, samples: share * allSamples }
    },
    shares(index) {
      const shares = new Float64Array(totals.length)
      for (let at = side.selfOffset[index]!; at < side.selfOffset[index + 1]!; at++) {
        const replicate = side.selfReplicate[at]!
        shares[replicate] = totals[replicate]! > 0 ? side.selfWeight[at]! / totals[replicate]! : 0
      }
      const mean = sum(shares) / shares.length
      let squares = 0
      for (const share of shares) squares += (share - mean) ** 2
      return { sorted: shares.sort(), variance: shares.length > 1 ? squares / (shares.length - 1) : 0 }
    },
    setAside(index) {
      for (let at = side.selfOffset[index]!; at < side.selfOffset[index + 1]!; at++) {
        const replicate = side.selfReplicate[at]!
        const weight = side.selfWeight[at]!
        // The samples of a replicate shrink with its weight.
        const gone = totals[replicate]! > 0 ? (samples[replicate]! * weight) / totals[replicate]! : 0
        totals[replicate]! -= weight
        samples[replicate]! -= gone
      }
      allWeight = sum(totals)
      allSamples = effectiveSamples(totals, samples)
    },
    replicateSamples: () => samples,
  }
}

/**
 * How many samples of equal weight would be as noisy. A replicate sampled at a tenth of the rate weighs as much as the
 * others and is ten times as noisy: the sum of all samples would be too good.
 */
function effectiveSamples(totals: Float64Array, samples: Float64Array): number {
  let weight = 0
  let squares = 0
  for (const [replicate, total] of totals.entries()) {
    const count = samples[replicate]!
    if (total <= 0 || count <= 0) continue
    weight += total
    squares += (total * total) / count
  }
  return squares > 0 ? (weight * weight) / squares : 0
}

// As many degrees of freedom as what all functions tell together weighs in the estimate for one.
const priorFreedom = 6

export interface DesignEffects {
  of: Map<number, number>
  /** Degrees of freedom of each estimate; Infinity when they are given, not estimated. */
  freedom: number
}

/**
 * Variance of each function's share between replicates, over that of independent samples: 1 or more. Few
 * replicates tell little of one function, so each estimate leans on what all tell together: by how much of
 * itself a share wanders from one replicate to the next.
 *
 * fallback: when no side has two replicates.
 */
export function estimateDesignEffects(
  a: SideShares,
  b: SideShares,
  functions: readonly number[],
  fallback: number,
): DesignEffects {
  const sides = [a, b].filter(side => side.replicates > 1)
  const freedom = sides.reduce((sum, side) => sum + side.replicates - 1, 0)
  if (freedom === 0) {
    return { of: new Map(functions.map(index => [index, fallback])), freedom: Number.POSITIVE_INFINITY }
  }
  // Per function, means over the sides by their degrees of freedom.
  const measured = functions.map(index => {
    let ratio = 0
    let excess = 0
    let square = 0
    let odds = 0
    for (const side of sides) {
      const part = (side.replicates - 1) / freedom
      const { share } = side.hits(index)
      const each = side.samples / side.replicates
      const independent = (share * (1 - share)) / each
      const { variance } = side.shares(index)
      if (independent > 0) ratio += (part * variance) / independent
      excess += part * (variance - independent)
      square += part * share * share
      if (share < 1) odds += (part * each * share) / (1 - share)
    }
    return { index, ratio, excess, square, odds }
  })
  const squares = measured.reduce((sum, { square }) => sum + square, 0)
  const wander = squares > 0 ? measured.reduce((sum, { excess }) => sum + excess, 0) / squares : 0
  const of = new Map(
    measured.map(({ index, ratio, odds }) => {
      const prior = 1 + Math.max(0, wander) * odds
      return [index, Math.max(1, (freedom * ratio + priorFreedom * prior) / (freedom + priorFreedom))]
    }),
  )
  return { of, freedom: freedom + priorFreedom }
}
