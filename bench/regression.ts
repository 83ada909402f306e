import { compareFunctions, DEFAULT_DIFF_SETTINGS } from '../profile/src/diff/compare-functions.ts'
import { buildSide, type DiffSide } from '../profile/src/diff/side.ts'
import { createRandom, type Draw, drawSide, grow, zipf } from '../profile/src/diff/testing.ts'
import { judge } from '../profile/src/diff/verdict.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure } from './figure.ts'

const scales = {
  full: { pairs: 2000, injections: 400, timings: 7 },
  smoke: { pairs: 20, injections: 10, timings: 1 },
}

/** What a fleet looks like: instances a side, samples each, and how much shares wander between instances. */
const fleets: [name: string, draw: Omit<Draw, 'shares'>][] = [
  ['1_recording', { instances: 1, samples: 5000, jitter: 0 }],
  ['4_instances', { instances: 4, samples: 2000, jitter: 0.1 }],
  ['12_instances', { instances: 12, samples: 1000, jitter: 0.1 }],
  ['50_instances', { instances: 50, samples: 500, jitter: 0.1 }],
]
const shares = zipf(200)
/** 1.3 % of the whole: neither hot nor rare. */
const victim = 12

/** How often a diff cries wolf, how often it sees one, and how long it looks. Seeded: the same on every machine. */
export const regressionBench: Bench = async scaleName => {
  const { pairs, injections, timings } = scales[scaleName]
  const figures: Figure[] = []
  for (const [name, draw] of fleets) {
    const equal = count(pairs, random => outcome(drawn(draw, random), drawn(draw, random)))
    figures.push(
      figure(`${name}_equal_with_finding`, 'share', [equal.findings / pairs], '<= 0.05'),
      figure(`${name}_equal_with_verdict`, 'share', [equal.verdicts / pairs], '<= 0.01'),
    )
    const doubled = count(pairs / 4, random =>
      outcome(drawn(draw, random), drawn({ ...draw, samples: 2 * draw.samples }, random)),
    )
    const mixed = count(pairs / 4, random => outcome(drawn(draw, random), halfRate(draw, random)))
    figures.push(
      figure(`${name}_double_load_with_verdict`, 'share', [doubled.verdicts / (pairs / 4)], '<= 0.01'),
      figure(`${name}_half_at_another_rate_with_verdict`, 'share', [mixed.verdicts / (pairs / 4)], '<= 0.01'),
    )
    figures.push(
      figure(`${name}_found_at_1_5_visible`, 'share', [recall(draw, injections, 1.5)], '>= 0.9'),
      figure(`${name}_found_at_visible`, 'share', [recall(draw, injections, 1)], '>= 0.8'),
    )
  }
  const random = createRandom(3)
  const wide = { shares: zipf(5000), instances: 500, samples: 400, jitter: 0.1 }
  const [a, b] = [drawSide(wide, random), drawSide(wide, random)]
  const seconds = Array.from({ length: timings }, () => {
    const before = process.cpuUsage()
    compareFunctions(a, b, DEFAULT_DIFF_SETTINGS)
    return process.cpuUsage(before).user / 1e6
  })
  figures.push(figure('500_instances_cpu', 's', seconds, '<= 2'))
  return figures
}

function drawn(draw: Omit<Draw, 'shares'>, random: () => number): DiffSide {
  return drawSide({ shares, ...draw }, random)
}

/** Every other instance has a tenth of the samples, as one sampled at a tenth of the rate. */
function halfRate(draw: Omit<Draw, 'shares'>, random: () => number): DiffSide {
  const sides = Array.from({ length: draw.instances }, (_, instance) =>
    drawn({ ...draw, instances: 1, samples: instance % 2 === 0 ? draw.samples : draw.samples / 10 }, random),
  )
  const weights = (side: DiffSide): Map<number, number> => {
    const self = new Map<number, number>()
    for (let index = 0; index < shares.length; index++)
      for (let at = side.selfOffset[index]!; at < side.selfOffset[index + 1]!; at++)
        self.set(index, side.selfWeight[at]! * (draw.samples / side.samples[0]!))
    return self
  }
  return buildSide(
    sides.map(side => ({ self: weights(side), samples: side.samples[0]!, seconds: 60 })),
    shares.length,
  )
}

function outcome(a: DiffSide, b: DiffSide): { hasFinding: boolean; hasVerdict: boolean } {
  const compared = compareFunctions(a, b, DEFAULT_DIFF_SETTINGS)
  const { state } = judge(a, b, compared, null, DEFAULT_DIFF_SETTINGS)
  return {
    hasFinding: compared.changes.some(change => change.state === 'slower' || change.state === 'faster'),
    hasVerdict: state === 'slower' || state === 'faster',
  }
}

function count(
  trials: number,
  trial: (random: () => number) => { hasFinding: boolean; hasVerdict: boolean },
): { findings: number; verdicts: number } {
  const random = createRandom(17)
  const sum = { findings: 0, verdicts: 0 }
  for (let at = 0; at < trials; at++) {
    const { hasFinding, hasVerdict } = trial(random)
    sum.findings += Number(hasFinding)
    sum.verdicts += Number(hasVerdict)
  }
  return sum
}

/** Of planted growths of `times` the stated smallest visible one, the share that is found and called slower. */
function recall(draw: Omit<Draw, 'shares'>, trials: number, times: number): number {
  const random = createRandom(23)
  let found = 0
  for (let at = 0; at < trials; at++) {
    const a = drawn(draw, random)
    const before = compareFunctions(a, drawn(draw, random), DEFAULT_DIFF_SETTINGS)
    const visible = before.changes.find(change => change.function === victim)!.smallestVisible
    const b = drawSide({ shares: grow(shares, victim, times * visible), ...draw }, random)
    const after = compareFunctions(a, b, DEFAULT_DIFF_SETTINGS)
    found += Number(after.changes.some(change => change.function === victim && change.state === 'slower'))
  }
  return found / trials
}
