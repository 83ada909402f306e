import { expect, test } from 'vitest'
import type { SeriesAnswer } from '../../api/types.ts'
import { applyPreset, findVersionChange, readSides, writeSides } from './sides.ts'

const now = Date.UTC(2026, 10, 25, 12)
const hour = 3_600_000

test('without parameters the last hour is compared with the one before', () => {
  const { a, b } = readSides({}, now)
  expect(b).toEqual({ filter: '', from: 'now-1h', to: 'now' })
  expect(a).toEqual({ filter: '', from: String(now - 2 * hour), to: String(now - hour) })
})

test('sides survive the URL', () => {
  const sides = readSides({ qa: '{zone="a"}', fa: '1', ta: '2', qb: '{zone="b"}', fb: '3', tb: '4' }, now)
  expect(readSides(writeSides(sides), now)).toEqual(sides)
})

test.each([
  ['before', 2 * hour, ''],
  ['yesterday', 25 * hour, ''],
  ['week', 7 * 24 * hour + hour, ''],
] as const)('%s moves A back', (id, back, filter) => {
  const { a } = applyPreset(id, readSides({}, now), null, now)
  expect(a).toEqual({ filter, from: String(now - back), to: String(now - back + hour) })
})

/** Hours, counted from now backwards, in which each version reported. */
function versions(hours: Record<string, number[]>): SeriesAnswer {
  const all = Array.from({ length: 48 }, (_, index) => 48 - index)
  return {
    unit: 'cores',
    stepMs: hour,
    series: Object.entries(hours).map(([version, seen]) => ({
      labels: { service_version: version },
      points: all.map(back => [now - back * hour, seen.includes(back) ? 1 : null]),
    })),
    meta: {} as SeriesAnswer['meta'],
  }
}

test('a change of version at once: the day before against the time since', () => {
  const change = findVersionChange(versions({ '10': [5, 4, 3, 2, 1], '9': [9, 8, 7, 6, 5], '8': [20] }))
  expect(change).toEqual({ previous: '9', newest: '10', atMs: now - 5 * hour, togetherUntilMs: 0 })
  const { a, b } = applyPreset('version', readSides({}, now), change, now)
  expect(a).toEqual({
    filter: '{service_version="9"}',
    from: String(now - 10 * hour),
    to: String(now - 5 * hour),
  })
  expect(b).toEqual({ filter: '{service_version="10"}', from: String(now - 5 * hour), to: String(now) })
})

test('versions side by side are compared over that time', () => {
  const change = findVersionChange(versions({ old: [9, 8, 7, 6, 5, 4, 3], new: [7, 6, 5, 4, 3, 2, 1] }))
  const { a, b } = applyPreset('version', readSides({}, now), change, now)
  expect([a.from, a.to]).toEqual([String(now - 7 * hour), String(now - 2 * hour)])
  expect([b.from, b.to]).toEqual([a.from, a.to])
  expect([a.filter, b.filter]).toEqual(['{service_version="old"}', '{service_version="new"}'])
})

test('one version is no change', () => {
  expect(findVersionChange(versions({ '1': [3, 2] }))).toBe(null)
})
