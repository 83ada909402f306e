import { normalQuantile } from '../statistics/normal.ts'
import type { DiffSettings, FunctionComparison } from './compare-functions.ts'
import type { TotalsComparison } from './compare-totals.ts'
import { type DiffSide, sum } from './side.ts'

export type VerdictState = 'slower' | 'faster' | 'no_evidence' | 'cannot_compare'

export interface Verdict {
  state: VerdictState
  /**
   * By how much the whole grew, with its interval. Of totals: as measured. Else implied: were the functions
   * without a finding to do the same work on both sides, the whole would take (1 - A) / (1 - B) - 1 more, A and
   * B being the shares of the findings together.
   */
  growth: { value: number; low: number; high: number; from: 'totals' | 'implied' } | null
  /** What a person can check: the numbers that the state follows from. */
  reason: string
}

/** Why two sides say nothing about each other. */
export function refuseComparison(a: DiffSide, b: DiffSide): string | null {
  for (const [name, side] of [
    ['A', a],
    ['B', b],
  ] as const) {
    if (side.totals.length === 0 || sum(side.totals) <= 0) return `side ${name} has no samples`
    if (sum(side.samples) < 200)
      return `side ${name} has ${Math.round(sum(side.samples))} samples, fewer than 200`
  }
  return null
}

/** totals: null when the load of the sides may differ, so that only shares can be compared. */
export function judge(
  a: DiffSide,
  b: DiffSide,
  functions: FunctionComparison,
  totals: TotalsComparison | null,
  settings: DiffSettings,
): Verdict {
  const refusal = refuseComparison(a, b)
  if (refusal) return { state: 'cannot_compare', growth: null, reason: refusal }
  if (totals?.growth != null) {
    const { growth, low, high, p } = totals
    const isFound = p <= 1 - settings.confidence && Math.abs(growth) >= settings.gateRelative
    const interval = `${percent(growth)} (${percent(low)} to ${percent(high)}, p ${p.toPrecision(2)})`
    return {
      state: isFound ? (growth > 0 ? 'slower' : 'faster') : 'no_evidence',
      growth: { value: growth, low, high, from: 'totals' },
      reason: isFound
        ? `the total changed by ${interval}`
        : `the total changed by ${interval}; ${percent(settings.gateRelative)} or more, and p at most ${(1 - settings.confidence).toPrecision(1)}, would be a finding`,
    }
  }
  const all = functions.changes.filter(({ state }) => state === 'slower' || state === 'faster')
  const findings = all.filter(({ q }) => q <= settings.verdictRate)
  if (findings.length === 0) {
    return {
      state: 'no_evidence',
      growth: null,
      reason:
        all.length === 0
          ? `none of ${functions.tested} functions changed its share by more than noise`
          : `${all.length} of ${functions.tested} functions changed by more than noise, but not surely enough for a verdict (q over ${settings.verdictRate})`,
    }
  }
  const shareA = findings.reduce((share, change) => share + change.shareA, 0)
  const shareB = findings.reduce((share, change) => share + change.shareB, 0)
  const growth = impliedGrowth(shareA, shareB, sum(a.samples), sum(b.samples), settings)
  const names = `${findings.length} of ${functions.tested} functions`
  return {
    state: shareB > shareA ? 'slower' : 'faster',
    growth,
    reason: `${names} went from ${points(shareA)} to ${points(shareB)} of the time${
      growth
        ? `; if the rest does the same work as before, the whole takes ${points(Math.abs(growth.value))} ${growth.value < 0 ? 'less' : 'more'} time (${percent(growth.low)} to ${percent(growth.high)})`
        : ''
    }`,
  }
}

function impliedGrowth(
  shareA: number,
  shareB: number,
  samplesA: number,
  samplesB: number,
  settings: DiffSettings,
): Verdict['growth'] {
  if (shareA >= 1 || shareB >= 1) return null
  const value = (1 - shareA) / (1 - shareB) - 1
  const error = Math.sqrt(
    settings.designEffect * (shareA / (1 - shareA) / samplesA + shareB / (1 - shareB) / samplesB),
  )
  const reach = Math.exp(error * normalQuantile((1 - settings.confidence) / 2))
  return { value, low: (1 + value) / reach - 1, high: (1 + value) * reach - 1, from: 'implied' }
}

function percent(share: number): string {
  return `${share < 0 ? '−' : '+'}${Math.abs(share * 100).toFixed(1)} %`
}

function points(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
