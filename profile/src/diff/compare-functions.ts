import { falseDiscoveryRates } from '../statistics/false-discovery.ts'
import { compareProportions, smallestVisibleShift, visibleFactor } from '../statistics/proportion.ts'
import { createRankTest, type RankTest } from '../statistics/rank-test.ts'
import { hodgesLehmannShift } from '../statistics/shift.ts'
import { studentQuantile } from '../statistics/student.ts'
import { estimateDesignEffects, type SideShares, sharesOf } from './shares.ts'
import type { DiffSide } from './side.ts'

export interface DiffSettings {
  /** Share of findings that may be false (Benjamini-Hochberg). */
  falseDiscoveryRate: number
  /** Of findings that a verdict may rest on: a wrong verdict costs more than a wrong line of a table. */
  verdictRate: number
  /** Of each interval. */
  confidence: number
  /** A function is tested when its self share on either side is at least this and it has minSamples there. */
  minShare: number
  minSamples: number
  /** A finding moves by at least gateShare of the total and gateRelative of the function. */
  gateShare: number
  gateRelative: number
  /**
   * From so many replicates a side on, and rankHits samples of the function in nine of ten of them, ranks are
   * tested; under it samples are pooled. With fewer hits a share says more of how many samples a replicate has
   * than of the function: sides sampled at other rates would differ in their ranks alone. So they would when
   * replicates have very different numbers of samples: rankSpread is the most that large ones may have of small ones.
   */
  rankReplicates: number
  rankHits: number
  rankSpread: number
  /** Variance of the samples over that of independent ones, for sides of one replicate that cannot tell. */
  designEffect: number
  /** With which a change of the stated smallest visible size is found. */
  power: number
}

export const DEFAULT_DIFF_SETTINGS: DiffSettings = {
  falseDiscoveryRate: 0.05,
  verdictRate: 0.01,
  confidence: 0.95,
  minShare: 0.0005,
  minSamples: 30,
  gateShare: 0.001,
  gateRelative: 0.05,
  rankReplicates: 9,
  rankHits: 5,
  rankSpread: 3,
  designEffect: 2,
  power: 0.8,
}

/**
 * slower, faster: found, and past the gates. small: found, under a gate. moved: its share changed only
 * because others' did. unclear: not found. rare: too few samples to test.
 */
export type ChangeState = 'slower' | 'faster' | 'small' | 'moved' | 'unclear' | 'rare'

export interface FunctionChange {
  /** Index in the list both sides count by. */
  function: number
  state: ChangeState
  /** Self share of the side's total, 0 to 1. */
  shareA: number
  shareB: number
  /** Growth of the share and its interval; 0 and no width for rare ones. */
  shift: number
  low: number
  high: number
  /** 1 for rare ones. */
  p: number
  q: number
  /** The least growth that would have been found: max(gate, statistics). Infinity for rare ones. */
  smallestVisible: number
}

export type DiffMethod = 'ranks' | 'pooled' | 'mixed'

export interface FunctionComparison {
  /** mixed: ranks for the functions that have enough samples for it. */
  method: DiffMethod
  /** Functions that were tested. */
  tested: number
  /** All functions with weight on a side, by size of the shift; findings first, rare ones last. */
  changes: FunctionChange[]
}

const maxFindings = 50

/**
 * Which functions take another share of the time in themselves than before.
 *
 * Self shares are disjoint and add up to 1, so one cause is one finding; but when one grows, the others
 * must fall. Findings are therefore taken one at a time, the largest first: each is set aside, and what is
 * left is compared by its shares of the rest. A function that is then no finding any more only made room.
 *
 *     before  hot 40  parse 30  rest 30      hot grew, parse 30 of 60 is parse 25 of 50:
 *     after   hot 50  parse 25  rest 25      parse moved, it is not faster
 *
 * Deterministic: the same sides give the same answer.
 */
export function compareFunctions(a: DiffSide, b: DiffSide, settings: DiffSettings): FunctionComparison {
  const functions = a.selfOffset.length - 1
  const sides = { a: sharesOf(a), b: sharesOf(b) }
  const changes: FunctionChange[] = []
  const tested: FunctionChange[] = []
  for (let index = 0; index < functions; index++) {
    const one = { a: sides.a.hits(index), b: sides.b.hits(index) }
    if (one.a.weight === 0 && one.b.weight === 0) continue
    const change: FunctionChange = {
      function: index,
      state: 'rare',
      shareA: one.a.share,
      shareB: one.b.share,
      ...{ shift: 0, low: 0, high: 0, p: 1, q: 1, smallestVisible: Number.POSITIVE_INFINITY },
    }
    changes.push(change)
    const isTested = [one.a, one.b].some(
      ({ share, samples }) => share >= settings.minShare && samples >= settings.minSamples,
    )
    if (isTested && sides.a.samples > 0 && sides.b.samples > 0) tested.push(change)
  }
  const ranked = rankable(a, b, sides, tested, settings)
  const byRanks = rankedTest(sides.a, sides.b, settings, tested.length)
  const byPool = pooledTest(sides.a, sides.b, settings, tested)
  const test: Test = index => (ranked.has(index) ? byRanks(index) : byPool(index))
  for (const change of tested) Object.assign(change, { state: 'unclear' }, test(change.function))
  const first = applyRates(tested, settings)
  const findings = separate(tested, first, sides, test, settings)
  for (const change of findings) {
    const most = Math.max(change.shareA, change.shareB)
    const isSmall =
      Math.abs(change.shift) < settings.gateShare ||
      Math.abs(change.shift) < settings.gateRelative * Math.min(change.shareA || most, change.shareB || most)
    change.state = isSmall ? 'small' : change.shift > 0 ? 'slower' : 'faster'
  }
  const rank = ({ state }: FunctionChange): number =>
    state === 'slower' || state === 'faster' ? 0 : state === 'rare' ? 2 : 1
  changes.sort(
    (x, y) => rank(x) - rank(y) || Math.abs(y.shift) - Math.abs(x.shift) || x.function - y.function,
  )
  const method = ranked.size === 0 ? 'pooled' : ranked.size === tested.length ? 'ranks' : 'mixed'
  return { method, tested: tested.length, changes }
}

/** Functions with enough samples in enough replicates for ranks. */
function rankable(
  a: DiffSide,
  b: DiffSide,
  sides: { a: SideShares; b: SideShares },
  tested: readonly FunctionChange[],
  settings: DiffSettings,
): Set<number> {
  const enough = [a, b].every(side => side.totals.length >= settings.rankReplicates)
  if (!enough) return new Set()
  const fewSamples = Math.min(
    ...[a, b].map(({ samples }) => samples.toSorted()[Math.floor(samples.length / 10)]!),
  )
  const all = sides.a.samples + sides.b.samples
  return new Set(
    tested
      .map(change => change.function)
      .filter(index => {
        const hits = sides.a.hits(index).samples + sides.b.hits(index).samples
        return (hits / all) * fewSamples >= settings.rankHits
      }),
  )
}

type Test = (index: number) => Pick<FunctionChange, 'shift' | 'low' | 'high' | 'p' | 'smallestVisible'>

/** Sets q; gives those that are findings. */
function applyRates(tested: readonly FunctionChange[], settings: DiffSettings): FunctionChange[] {
  const rates = falseDiscoveryRates(tested.map(({ p }) => p))
  for (const [index, change] of tested.entries()) change.q = rates[index]!
  return tested.filter(({ q }) => q <= settings.falseDiscoveryRate)
}

/** The findings that stand when the larger ones are set aside; the others become 'moved'. */
function separate(
  tested: readonly FunctionChange[],
  first: FunctionChange[],
  sides: { a: SideShares; b: SideShares },
  test: Test,
  settings: DiffSettings,
): FunctionChange[] {
  const findings: FunctionChange[] = []
  const given = new Map(tested.map(change => [change, { ...change }]))
  const everFound = new Set(first)
  let candidates = first
  let left = [...tested]
  while (candidates.length > 0 && findings.length < maxFindings) {
    let largest = candidates[0]!
    for (const change of candidates) {
      const difference = Math.abs(change.shift) - Math.abs(largest.shift)
      // When two changed by the same share, one grew: the one that shrank made room.
      if (difference > 1e-9 || (difference > -1e-9 && change.shift > 0 && largest.shift < 0)) largest = change
    }
    findings.push(largest)
    left = left.filter(change => change !== largest)
    sides.a.setAside(largest.function)
    sides.b.setAside(largest.function)
    if (sides.a.samples <= 0 || sides.b.samples <= 0) break
    for (const change of left) Object.assign(change, test(change.function))
    candidates = applyRates(left, settings)
    for (const change of candidates) everFound.add(change)
  }
  // What is shown are shares of the whole; q and p are those of the step that decided.
  for (const change of tested) {
    const { shift, low, high, smallestVisible } = given.get(change)!
    Object.assign(change, { shift, low, high, smallestVisible })
    if (everFound.has(change) && !findings.includes(change)) change.state = 'moved'
  }
  return findings
}

function rankedTest(a: SideShares, b: SideShares, settings: DiffSettings, tests: number): Test {
  const rank: RankTest = createRankTest(a.replicates, b.replicates)
  const freedom = a.replicates + b.replicates - 2
  const factor = visibleFactor(settings.falseDiscoveryRate / Math.max(1, tests), settings.power, freedom)
  // What a rank test needs over a t test: Pitman's efficiency for normal values, and what few replicates lose
  // beside it (npm run bench -- regression: found_at_visible).
  const efficiency = Math.sqrt(3 / Math.PI) / (1 + 1.5 / Math.min(a.replicates, b.replicates))
  return index => {
    const left = a.shares(index)
    const right = b.shares(index)
    const { share } = a.hits(index)
    const each = b.samples / b.replicates
    const wander = Math.max(0, (left.variance + right.variance) / 2 - (share * (1 - share)) / each)
    const errorAt = (grown: number): number => {
      const growth = share > 0 ? grown / share : 1
      const variance = (grown * (1 - grown)) / each + wander * growth * growth
      return Math.sqrt(left.variance / a.replicates + variance / b.replicates) / efficiency
    }
    return {
      ...hodgesLehmannShift(left.sorted, right.sorted, settings.confidence),
      p: rank.p(left.sorted, right.sorted),
      smallestVisible: pastGates(smallestVisibleShift(share, factor, errorAt), share, settings),
    }
  }
}

function pooledTest(
  a: SideShares,
  b: SideShares,
  settings: DiffSettings,
  tested: readonly FunctionChange[],
): Test {
  const designEffects = estimateDesignEffects(
    a,
    b,
    tested.map(change => change.function),
    settings.designEffect,
  )
  const { freedom } = designEffects
  const reach = studentQuantile((1 - settings.confidence) / 2, freedom)
  const alpha = settings.falseDiscoveryRate / Math.max(1, tested.length)
  const factor = visibleFactor(alpha, settings.power, freedom)
  return index => {
    const designEffect = designEffects.of.get(index)!
    const left = a.hits(index)
    const right = b.hits(index)
    const { share } = left
    const errorAt = (grown: number): number => {
      // What a share wanders by grows with the share; independent samples do not wander.
      const growth = share > 0 && share < 1 && grown < 1 ? (grown / (1 - grown)) * ((1 - share) / share) : 1
      const atGrown = 1 + (designEffect - 1) * growth
      return Math.sqrt(
        (designEffect * share * (1 - share)) / a.samples + (atGrown * grown * (1 - grown)) / b.samples,
      )
    }
    return {
      ...compareProportions(
        { hits: left.samples, samples: a.samples },
        { hits: right.samples, samples: b.samples },
        designEffect,
        freedom,
        reach,
      ),
      smallestVisible: pastGates(smallestVisibleShift(share, factor, errorAt), share, settings),
    }
  }
}

function pastGates(statistical: number, share: number, settings: DiffSettings): number {
  return Math.max(settings.gateShare, settings.gateRelative * share, statistical)
}
