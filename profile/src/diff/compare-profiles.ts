import { functionTotals, NO_STACK } from '../call-tree.ts'
import type { TreeFrame } from '../model.ts'
import {
  type ChangeState,
  compareFunctions,
  DEFAULT_DIFF_SETTINGS,
  type DiffMethod,
  type DiffSettings,
  type FunctionChange,
} from './compare-functions.ts'
import { compareTotals, type TotalsBasis, type TotalsComparison } from './compare-totals.ts'
import {
  buildDiffTree,
  type Cause,
  type DiffTree,
  findCause,
  keyOf,
  type WeighedColumns,
} from './diff-tree.ts'
import { buildSide, type DiffSide, sum } from './side.ts'
import { judge, type Verdict } from './verdict.ts'

/** What a diff is made of, one side. */
export interface ComparedSide {
  /** Summed over the replicates. */
  stacks: WeighedColumns
  replicates: ComparedReplicate[]
}

export interface ComparedReplicate {
  /** Index in stacks.frames -> self weight. */
  self: ReadonlyMap<number, number>
  samples: number
  /** Covered; 0 when not known. */
  seconds: number
}

/**
 * share: of each side's total; load and length divide out. total: a replicate against a replicate, for
 * recordings of the same work. rate: per second a replicate covers, for sides under the same load.
 */
export type Normalization = 'share' | 'total' | 'rate'

export interface ComparedFunction extends TreeFrame {
  state: ChangeState
  isNew: boolean
  isGone: boolean
  /** Shares of the side's total, 0 to 1. */
  selfA: number
  selfB: number
  totalA: number
  totalB: number
  /** Of the self share, 0 to 1: growth, its interval, the least growth that would have been found. */
  shift: number
  low: number
  high: number
  p: number
  q: number
  /** null when the function is too rare to be tested. */
  smallestVisible: number | null
}

export interface SideSummary {
  replicates: number
  samples: number
  /** Weight, in the unit of the type. */
  total: number
  seconds: number
}

export interface ProfileComparison {
  normalization: Normalization
  a: SideSummary
  b: SideSummary
  verdict: Verdict
  /** Where a verdict of slower or faster comes from: the deepest frame that holds most of the change. */
  cause: Cause | null
  totals: TotalsComparison | null
  method: DiffMethod
  tested: number
  /**
   * Of a typical function: the least change that would have been found, over the square root of s (1 - s), s
   * being its share. 0 when none was tested.
   */
  noise: number
  /** By size of the shift; findings first, rare ones last. */
  functions: ComparedFunction[]
  settings: DiffSettings
  /**
   * Widths and weights are per replicate (total), per second of a replicate (rate), or shares of A's total
   * (share): B is then as large as the verdict implies, so that what only moved keeps its width and colour.
   */
  tree(maxNodes: number): DiffTree
}

/** Deep enough for a cause: frames that are left out hold little of any change. */
const causeNodes = 20_000

/** Compares two sides whose values have one unit. Deterministic. */
export function compareProfiles(
  a: ComparedSide,
  b: ComparedSide,
  normalization: Normalization,
  given: Partial<DiffSettings> = {},
): ProfileComparison {
  const settings = { ...DEFAULT_DIFF_SETTINGS, ...given }
  const frames: TreeFrame[] = []
  const placeOfKey = new Map<string, number>()
  const placeOf = (frame: TreeFrame): number => {
    const key = keyOf(frame)
    let place = placeOfKey.get(key)
    if (place === undefined) {
      place = frames.push(frame) - 1
      placeOfKey.set(key, place)
    }
    return place
  }
  const placesA = [...a.stacks.frames.map(placeOf), placeOf(NO_STACK)]
  const placesB = [...b.stacks.frames.map(placeOf), placeOf(NO_STACK)]
  const sideA = sideOf(a, placesA, frames.length)
  const sideB = sideOf(b, placesB, frames.length)
  const basis: TotalsBasis | null =
    normalization === 'share' ? null : normalization === 'rate' ? 'rate' : 'value'
  const functions = compareFunctions(sideA, sideB, settings)
  const totals = basis ? compareTotals(sideA, sideB, basis, settings) : null
  const totalsA = totalShares(a, placeOf, frames.length)
  const totalsB = totalShares(b, placeOf, frames.length)
  const summary = { a: summarize(sideA), b: summarize(sideB) }
  const verdict = judge(sideA, sideB, functions, totals, settings)
  const scaleA = scaleOf(summary.a, normalization)
  const scaleB =
    scaleOf(summary.b, normalization) * (verdict.growth?.from === 'implied' ? 1 + verdict.growth.value : 1)
  const tree = (maxNodes: number): DiffTree => buildDiffTree(a.stacks, b.stacks, scaleA, scaleB, maxNodes)
  const isFound = verdict.state === 'slower' || verdict.state === 'faster'
  return {
    normalization,
    ...summary,
    verdict,
    cause: isFound ? findCause(tree(causeNodes)) : null,
    totals,
    method: functions.method,
    tested: functions.tested,
    noise: typicalNoise(functions.changes),
    functions: functions.changes.map(({ function: index, shareA, shareB, smallestVisible, ...change }) => ({
      ...frames[index]!,
      ...change,
      isNew: shareA === 0,
      isGone: shareB === 0,
      selfA: shareA,
      selfB: shareB,
      totalA: totalsA[index]!,
      totalB: totalsB[index]!,
      smallestVisible: Number.isFinite(smallestVisible) ? smallestVisible : null,
    })),
    settings,
    tree,
  }
}

function typicalNoise(changes: readonly FunctionChange[]): number {
  const factors = changes
    .filter(({ smallestVisible, shareA }) => Number.isFinite(smallestVisible) && shareA > 0 && shareA < 1)
    .map(({ smallestVisible, shareA }) => smallestVisible / Math.sqrt(shareA * (1 - shareA)))
    .sort((x, y) => x - y)
  return factors[factors.length >> 1] ?? 0
}

/** Replicates count NO_STACK by the index after the last frame. */
function sideOf(side: ComparedSide, places: number[], functions: number): DiffSide {
  return buildSide(
    side.replicates.map(({ self, samples, seconds }) => {
      const merged = new Map<number, number>()
      for (const [frame, weight] of self) {
        const place = places[frame]!
        merged.set(place, (merged.get(place) ?? 0) + weight)
      }
      return { self: merged, samples, seconds }
    }),
    functions,
  )
}

function totalShares(
  { stacks }: ComparedSide,
  placeOf: (frame: TreeFrame) => number,
  functions: number,
): Float64Array {
  const shares = new Float64Array(functions)
  let all = 0
  for (let stack = 0; stack < stacks.values.length; stack++) all += stacks.values[stack]!
  if (all <= 0) return shares
  for (const { frame, total } of functionTotals(stacks, stacks.values, stacks.frames))
    shares[placeOf(frame)]! = total / all
  return shares
}

function summarize(side: DiffSide): SideSummary {
  return {
    replicates: side.totals.length,
    samples: Math.round(sum(side.samples)),
    total: sum(side.totals),
    seconds: sum(side.seconds),
  }
}

function scaleOf({ total, replicates, seconds }: SideSummary, normalization: Normalization): number {
  const by = normalization === 'share' ? total : normalization === 'total' ? replicates : seconds
  return by > 0 ? 1 / by : 0
}

/** The self weights of one replicate; NO_STACK has the index after the last frame. */
export function selfWeights(stacks: WeighedColumns): Map<number, number> {
  const self = new Map<number, number>()
  for (let stack = 0; stack < stacks.values.length; stack++) {
    const first = stacks.stackOffset[stack]!
    const leaf = first === stacks.stackOffset[stack + 1]! ? stacks.frames.length : stacks.stackFrame[first]!
    self.set(leaf, (self.get(leaf) ?? 0) + stacks.values[stack]!)
  }
  return self
}
