import { expect, test } from 'vitest'
import { formatShare, formatValue } from './units.ts'

test.each([
  [0, 'nanoseconds', '0 ns'],
  [999, 'nanoseconds', '999 ns'],
  [1234, 'nanoseconds', '1.23 µs'],
  [28_610_000_000, 'nanoseconds', '28.6 s'],
  [999_900_000, 'nanoseconds', '1 s'],
  [90e9, 'nanoseconds', '1.5 min'],
  [7200, 'seconds', '2 h'],
  [-1500, 'microseconds', '-1.5 ms'],
  [48_928_729, 'bytes', '46.7 MiB'],
  [1023, 'bytes', '1020 B'],
  [512, 'kilobytes', '512 KiB'],
  [310_797_348, 'count', '311 M'],
  [12, 'count', '12'],
  [0.25, 'cores', '0.25 cores'],
  [1, 'cores', '1 core'],
  [0.0000012, 'cores', '<0.001 cores'],
  [12345, 'count/s', '12.3 k/s'],
  [2048, 'bytes/s', '2 KiB/s'],
  [5000, 'gc', '5 k gc'],
  [Number.NaN, 'bytes', '–'],
])('%d %s is %s', (value, unit, text) => {
  expect(formatValue(value, unit)).toBe(text)
})

test('shares', () => {
  expect([0.4213, 1, 0, 1e-7, 0.00123].map(formatShare)).toEqual([
    '42.1 %',
    '100 %',
    '0 %',
    '<0.001 %',
    '0.123 %',
  ])
})
