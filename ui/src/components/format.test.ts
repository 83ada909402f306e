import { expect, test } from 'vitest'
import { countOf, formatAgo, formatRate, formatShare, formatWeight } from './format.ts'

test.each([
  [0, 'nanoseconds', '0'],
  [990_000_000, 'nanoseconds', '990 ms'],
  [6_200_000_000, 'nanoseconds', '6.20 s'],
  [119_000_000_000, 'nanoseconds', '119 s'],
  [1_374_000_000_000, 'nanoseconds', '22.9 min'],
  [73_440_000_000_000, 'nanoseconds', '20.4 h'],
  [512, 'bytes', '512 B'],
  [14_730_706, 'bytes', '14.0 MiB'],
  [310_797_348, 'count', '311M'],
  [40, 'count', '40'],
])('%d %s is %s', (value, unit, text) => expect(formatWeight(value, unit)).toBe(text))

test.each([
  [0, '0%'],
  [0.00001, '<0.01%'],
  [0.0213, '2.13%'],
  [0.8563, '85.6%'],
  [0.9997, '100%'],
])('the share %d is %s', (share, text) => expect(formatShare(share)).toBe(text))

test('rates on an axis', () => {
  expect(formatRate(0.4, 'cores')).toBe('0.4')
  expect(formatRate(2 ** 31, 'bytes/s')).toBe('2.00 GiB/s')
})

test('times and counts in words', () => {
  expect(formatAgo(1000, 3000)).toBe('just now')
  expect(formatAgo(0, 90_000)).toBe('1 min ago')
  expect(countOf(1, 'frame')).toBe('1 frame')
  expect(countOf(1234, 'frame')).toBe('1,234 frames')
})
