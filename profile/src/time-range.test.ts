import { expect, test } from 'vitest'
import { parseTime } from './time-range.ts'

const now = 1_700_000_000_000

test.each<[string | number, number]>([
  ['now', now],
  ['now-15m', now - 900_000],
  ['now - 2h', now - 7_200_000],
  ['now-1d', now - 86_400_000],
  ['now-2w', now - 1_209_600_000],
  ['now-500ms', now - 500],
  ['now+30s', now + 30_000],
  [1_600_000_000_000, 1_600_000_000_000],
  ['1600000000000', 1_600_000_000_000],
  ['2026-01-31T12:00:00Z', Date.UTC(2026, 0, 31, 12)],
  ['2026-01-31T12:00:00.250+01:00', Date.UTC(2026, 0, 31, 11, 0, 0, 250)],
  ['2026-01-31t12:00:00z', Date.UTC(2026, 0, 31, 12)],
])('%s', (text, wanted) => {
  expect(parseTime(text, now)).toBe(wanted)
})

test.each([
  '',
  'now-',
  'now-5',
  'now-5y',
  'yesterday',
  '2026-01-31',
  '2026-13-31T12:00:00Z',
  '2026-01-31T12:00:00',
  'NaN',
  '1e99',
])('"%s" is refused', text => {
  expect(() => parseTime(text, now)).toThrow('is not a time')
})
