import { describe, expect, test } from 'vitest'
import { compareFunctions, DEFAULT_DIFF_SETTINGS, type FunctionComparison } from './compare-functions.ts'
import { buildSide, type DiffSide } from './side.ts'
import { createRandom, drawSide, grow, zipf } from './testing.ts'
import { judge } from './verdict.ts'

const found = ({ changes }: FunctionComparison): string =>
  changes
    .filter(({ state }) => state === 'slower' || state === 'faster')
    .map(({ function: index, state }) => `${index} ${state}`)
    .join(', ')

const exactly = (weights: number[], times = 1): DiffSide =>
  buildSide(
    Array.from({ length: times }, () => ({
      self: new Map(weights.map((weight, index) => [index, weight])),
      samples: weights.reduce((x, y) => x + y, 0),
      seconds: 10,
    })),
    weights.length,
  )

describe('what is a finding', () => {
  const cases: [string, DiffSide, DiffSide, string][] = [
    ['equal sides', exactly([400, 300, 300]), exactly([400, 300, 300]), ''],
    ['twice the load', exactly([4000, 3000, 3000]), exactly([8000, 6000, 6000]), ''],
    ['half the rate', exactly([4000, 3000, 3000]), exactly([2000, 1500, 1500]), ''],
    ['one grew, the others made room', exactly([4000, 3000, 3000]), exactly([6000, 3000, 3000]), '0 slower'],
    [
      'one shrank, the others took its place',
      exactly([4000, 3000, 3000]),
      exactly([2000, 3000, 3000]),
      '0 faster',
    ],
    [
      'one grew, one shrank',
      exactly([4000, 3000, 3000, 3000]),
      exactly([6000, 3000, 3000, 1500]),
      '0 slower, 3 faster',
    ],
    ['a new function', exactly([5000, 5000, 0]), exactly([5000, 5000, 1000]), '2 slower'],
    ['a function that is gone', exactly([5000, 5000, 1000]), exactly([5000, 5000, 0]), '2 faster'],
    ['too few samples to say', exactly([40, 30, 30]), exactly([45, 28, 27]), ''],
    [
      'found, but under the gate of 5 % of the function',
      exactly([400_000_000, 600_000_000]),
      exactly([404_000_000, 596_000_000]),
      '',
    ],
    [
      'ranks: ten instances a side',
      exactly([4000, 3000, 3000], 10),
      exactly([6000, 3000, 3000], 10),
      '0 slower',
    ],
  ]
  test.each(cases)('%s', (_, a, b, expected) => {
    expect(found(compareFunctions(a, b, DEFAULT_DIFF_SETTINGS))).toBe(expected)
  })

  test('a function that made room is said to have moved', () => {
    const { changes } = compareFunctions(
      exactly([4000, 3000, 3000]),
      exactly([6000, 3000, 3000]),
      DEFAULT_DIFF_SETTINGS,
    )
    expect(changes.map(({ function: index, state }) => [index, state])).toEqual([
      [0, 'slower'],
      [1, 'moved'],
      [2, 'moved'],
    ])
    expect(changes[1]).toMatchObject({ shareA: 0.3, shareB: 0.25 })
  })

  test('rare functions are listed, not tested', () => {
    const { tested, changes } = compareFunctions(
      exactly([10_000, 5]),
      exactly([10_000, 9]),
      DEFAULT_DIFF_SETTINGS,
    )
    expect(tested).toBe(1)
    expect(changes.map(({ state }) => state)).toEqual(['unclear', 'rare'])
  })
})

describe('equal workloads', () => {
  const pairs = 200
  // At most 5 % of pairs with any finding, plus two standard deviations.
  const most = pairs * 0.05 + 2 * Math.sqrt(pairs * 0.05 * 0.95)
  test.each([
    ['one recording a side', { instances: 1, samples: 5000, jitter: 0 }],
    ['four instances a side', { instances: 4, samples: 2000, jitter: 0.1 }],
    ['twelve instances a side', { instances: 12, samples: 1000, jitter: 0.1 }],
  ])('%s: at most one pair in twenty has a finding, one in a hundred a verdict', (_, draw) => {
    const random = createRandom(7)
    let withFinding = 0
    let withVerdict = 0
    for (let pair = 0; pair < pairs; pair++) {
      const side = () => drawSide({ shares: zipf(100), ...draw }, random)
      const [a, b] = [side(), side()]
      const compared = compareFunctions(a, b, DEFAULT_DIFF_SETTINGS)
      if (found(compared) !== '') withFinding++
      const { state } = judge(a, b, compared, null, DEFAULT_DIFF_SETTINGS)
      if (state !== 'no_evidence') withVerdict++
    }
    expect(withFinding).toBeLessThanOrEqual(most)
    expect(withVerdict).toBeLessThanOrEqual(pairs * 0.01 + 2 * Math.sqrt(pairs * 0.01 * 0.99))
  })
})

describe('a planted change of 1.5 times the stated smallest visible one', () => {
  test.each([
    ['one recording a side', { instances: 1, samples: 10_000, jitter: 0 }],
    ['four instances a side', { instances: 4, samples: 3000, jitter: 0.1 }],
    ['twelve instances a side', { instances: 12, samples: 2000, jitter: 0.1 }],
  ])('%s: is found nine times in ten', (_, draw) => {
    const random = createRandom(11)
    const shares = zipf(100)
    const victim = 3
    let hits = 0
    const trials = 60
    for (let trial = 0; trial < trials; trial++) {
      const a = drawSide({ shares, ...draw }, random)
      const same = compareFunctions(a, drawSide({ shares, ...draw }, random), DEFAULT_DIFF_SETTINGS)
      const visible = same.changes.find(change => change.function === victim)!.smallestVisible
      const b = drawSide({ shares: grow(shares, victim, 1.5 * visible), ...draw }, random)
      if (found(compareFunctions(a, b, DEFAULT_DIFF_SETTINGS)).includes(`${victim} slower`)) hits++
    }
    expect(hits).toBeGreaterThanOrEqual(trials * 0.9)
  })
})
