import { expect, test } from 'vitest'
import { divideRounded, exactTotals, formatRatio } from './exact-totals.ts'

test.each([
  [7n, 1, '7'],
  [2n ** 63n, 1, '9223372036854775808'],
  [7n, 2, '3.5'],
  [2n, 3, '0.667'],
  [-2n, 3, '-0.667'],
  [-1n, 2, '-0.5'],
  [6n, 3, '2'],
  [2n ** 80n, 4, (2n ** 78n).toString()],
])('%d / %d is %s', (weight, divisor, text) => {
  expect(formatRatio(weight, divisor)).toBe(text)
})

test.each([
  [5n, 2n, 3n],
  [-5n, 2n, -3n],
  [4n, 3n, 1n],
])('%d / %d rounds to %d', (weight, divisor, want) => {
  expect(divideRounded(weight, divisor)).toBe(want)
})

test('totals past 2^53 keep their last digit, and only they are read again', () => {
  const sumsOf = (weights: bigint[]) => ({
    count: weights.length,
    values: Float64Array.from(weights, Number),
  })
  const taken = Uint8Array.of(1, 0, 1)
  const small = [5n, -7n, 9n]
  expect(exactTotals(sumsOf(small), taken, 1, () => expect.fail('read again'))).toEqual({
    wholeExact: '7',
    totalExact: '14',
  })
  const large = [2n ** 63n - 1n, 3n, 2n ** 62n + 1n]
  expect(exactTotals(sumsOf(large), taken, 1, () => large)).toEqual({
    wholeExact: '13835058055282163715',
    totalExact: '13835058055282163712',
  })
})
