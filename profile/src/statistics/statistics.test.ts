import { describe, expect, test } from 'vitest'
import { falseDiscoveryRates } from './false-discovery.ts'
import { normalQuantile, normalTail } from './normal.ts'
import { compareProportions, samplesNeeded } from './proportion.ts'
import { createRankTest } from './rank-test.ts'
import { hodgesLehmannShift } from './shift.ts'
import { studentQuantile, studentTail } from './student.ts'

const sorted = (...values: number[]): Float64Array => Float64Array.from(values).sort()

describe('normal distribution', () => {
  // Tables of the normal distribution.
  test.each([
    [0, 0.5],
    [1, 0.15865525393145707],
    [1.959963984540054, 0.025],
    [3, 0.0013498980316300933],
    [6, 9.865876450376946e-10],
    [8, 6.220960574271785e-16],
    [-1, 0.8413447460685429],
  ])('tail of %d', (z, tail) => {
    expect(normalTail(z) / tail).toBeCloseTo(1, 10)
    expect(normalQuantile(tail)).toBeCloseTo(z, 8)
  })
})

describe("Student's t", () => {
  // Tables of the t distribution; one degree of freedom is Cauchy's.
  test.each([
    [1, 1, 0.25],
    [12.706204736, 1, 0.025],
    [2.228138852, 10, 0.025],
    [4.143700494, 10, 0.001],
    [3.291, 1e7, 0.0005],
  ])('tail of %d with %d degrees', (t, freedom, tail) => {
    expect(studentTail(t, freedom) / tail).toBeCloseTo(1, 2)
    expect(studentQuantile(tail, freedom)).toBeCloseTo(t, 3)
  })
})

describe('rank test', () => {
  // Least two-sided p of equal sides: 2 / (2n choose n).
  test.each([
    [5, 2 / 252],
    [6, 2 / 924],
    [8, 2 / 12870],
    [9, 2 / 48620],
  ])('%d a side, wholly apart', (n, p) => {
    const low = Float64Array.from({ length: n }, (_, i) => i)
    const high = low.map(value => value + 100)
    const rank = createRankTest(n, n)
    expect(rank.p(low, high)).toBeCloseTo(p, 12)
    expect(rank.p(high, low)).toBeCloseTo(p, 12)
    expect(rank.leastP).toBeCloseTo(p, 12)
  })

  test('agrees with all orders of 3 and 4 values', () => {
    const rank = createRankTest(3, 4)
    const u = (a: number[], b: number[]) => a.flatMap(x => b.map(y => Number(y > x))).reduce((x, y) => x + y)
    const splits: { a: number[]; b: number[] }[] = []
    for (let mask = 0; mask < 128; mask++) {
      const a = [0, 1, 2, 3, 4, 5, 6].filter(i => mask & (1 << i))
      if (a.length === 3) splits.push({ a, b: [0, 1, 2, 3, 4, 5, 6].filter(i => !(mask & (1 << i))) })
    }
    expect(splits).toHaveLength(35)
    for (const { a, b } of splits) {
      const least = Math.min(u(a, b), 12 - u(a, b))
      const asExtreme = splits.filter(split => u(split.a, split.b) <= least).length
      expect(rank.p(sorted(...a), sorted(...b))).toBeCloseTo(Math.min(1, (2 * asExtreme) / 35), 12)
    }
  })

  test('equal values have no p but 1', () => {
    expect(createRankTest(4, 4).p(sorted(1, 1, 1, 1), sorted(1, 1, 1, 1))).toBe(1)
  })

  test('ties are corrected for', () => {
    // 2 of 36 pairs have the larger value in a, ties as halves; six pairs of equal values, each t^3 - t = 6.
    const a = sorted(1, 1, 2, 2, 3, 4)
    const b = sorted(3, 4, 5, 5, 6, 6)
    const variance = 3 * (13 - (6 * 6) / 132)
    expect(createRankTest(6, 6).p(a, b)).toBeCloseTo(2 * normalTail((18 - 2 - 0.5) / Math.sqrt(variance)), 12)
  })
})

describe('Hodges-Lehmann shift', () => {
  test('is the median of all differences', () => {
    const a = sorted(1, 5, 9)
    const b = sorted(2, 8, 11, 30)
    const all = [...a].flatMap(x => [...b].map(y => y - x)).sort((x, y) => x - y)
    expect(hodgesLehmannShift(a, b, 0.95).shift).toBe((all[5]! + all[6]!) / 2)
  })

  test('a moved side is moved by that much, inside its interval', () => {
    const a = Float64Array.from({ length: 40 }, (_, i) => Math.sin(i) / 100).sort()
    const { shift, low, high } = hodgesLehmannShift(a, Float64Array.from(a, x => x + 0.25).sort(), 0.95)
    expect(shift).toBeCloseTo(0.25, 3)
    expect(low).toBeLessThan(0.25)
    expect(high).toBeGreaterThan(0.25)
    expect(high - low).toBeLessThan(0.02)
  })
})

test('false discovery rates by hand', () => {
  expect([...falseDiscoveryRates([0.01, 0.04, 0.03, 0.5])]).toEqual([0.04, 0.16 / 3, 0.16 / 3, 0.5])
  expect([...falseDiscoveryRates([])]).toEqual([])
})

describe('proportions', () => {
  test.each([
    [0.1, 0.11, 47_000],
    [0.01, 0.011, 519_000],
  ])('samples to see %d become %d', (from, to, samples) => {
    expect(samplesNeeded(from, to, 1e-4, 0.9) / samples).toBeCloseTo(1, 1)
  })

  test('equal shares differ by nothing', () => {
    const { p, shift } = compareProportions(
      { hits: 10, samples: 100 },
      { hits: 20, samples: 200 },
      1,
      Number.POSITIVE_INFINITY,
      1.96,
    )
    expect(p).toBe(1)
    expect(shift).toBe(0)
  })

  test('z of 30 of 100 against 50 of 100 is 2.887', () => {
    const { p } = compareProportions(
      { hits: 30, samples: 100 },
      { hits: 50, samples: 100 },
      1,
      Number.POSITIVE_INFINITY,
      1.96,
    )
    expect(p).toBeCloseTo(2 * normalTail(0.2 / Math.sqrt(0.4 * 0.6 * 0.02)), 12)
    const wide = compareProportions(
      { hits: 30, samples: 100 },
      { hits: 50, samples: 100 },
      4,
      Number.POSITIVE_INFINITY,
      1.96,
    )
    expect(wide.high - wide.low).toBeCloseTo(4 * 1.96 * Math.sqrt(0.0021 + 0.0025), 5)
  })
})
