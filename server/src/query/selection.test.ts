import { expect, test } from 'vitest'
import { resolveRange } from './selection.ts'
import { chooseStep } from './series.ts'

const now = 1_700_000_000_500

test.each([
  ['now-1h', 'now', 1_699_996_400, 1_700_000_001],
  ['1700000000000', '1700000001000', 1_700_000_000, 1_700_000_001],
  ['1700000000999', '1700000001001', 1_700_000_000, 1_700_000_002],
])('%s to %s covers whole seconds', (from, to, first, last) => {
  expect(resolveRange({ from, to }, now)).toEqual({ from: first, to: last })
})

test.each([
  ['now-23h', 'now', 1_699_917_200],
  ['now-24h', 'now', 1_699_913_400],
  ['now-7d', 'now', 1_699_394_400],
  ['now-7d', 'now-6d', 1_699_395_000],
  [String(now - 7 * 86_400_000), 'now', 1_699_395_200],
])('%s to %s starts at a whole period', (from, to, first) => {
  expect(resolveRange({ from, to }, now).from).toBe(first)
})

test.each([
  ['now', 'now-1s'],
  ['-1', 'now'],
  ['now', '9999999999999'],
])('%s to %s is refused', (from, to) => {
  expect(() => resolveRange({ from, to }, now)).toThrow(expect.objectContaining({ code: 'BAD_TIME' }))
})

test.each([
  [3600, 300, 15],
  [900, 300, 10],
  [86_400, 300, 300],
  [14 * 86_400, 300, 7200],
  [400 * 86_400, 10, 42 * 86_400],
])('%i s in at most %i points: steps of %i s', (seconds, points, step) => {
  expect(chooseStep({ from: 0, to: seconds }, points)).toBe(step)
})
