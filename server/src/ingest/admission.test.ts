import { expect, test } from 'vitest'
import type { CodedError } from '../errors.ts'
import { Admission } from './admission.ts'

function admissionOf(values: Record<string, string>) {
  let nowMs = 1_000_000
  const all = new Map(Object.entries(values))
  const admission = new Admission({
    valuesOf: tenant => (tenant === 'acme' ? all : new Map()),
    maxBodyBytes: 1_000,
    now: () => nowMs,
  })
  const refusal = (work: () => unknown): string => {
    try {
      work()
      return ''
    } catch (error) {
      const { code, details } = error as CodedError
      return `${code} ${details.observed} of ${details.limit}, again in ${details.retryAfterMs}`
    }
  }
  return {
    wait(ms: number) {
      nowMs += ms
    },
    enter: (bytes: number, tenant = 'acme') => refusal(() => admission.enter(tenant, bytes)()),
    hold: (bytes: number) => admission.enter('acme', bytes),
    series: (...ids: number[]) => refusal(() => admission.addSeries('acme', ids.map(BigInt))),
  }
}

test('ten seconds of bytes may come at once, then what the rate gives', () => {
  const { enter, wait } = admissionOf({ bytes_per_second: '200' })
  expect([enter(1_000), enter(1_000)]).toEqual(['', ''])
  // Nothing is left; 100 bytes take half a second.
  expect(enter(100)).toBe('RATE_LIMITED 100 of 200, again in 500')
  expect(enter(100, 'other')).toBe('')
  wait(400)
  expect(enter(100)).toBe('RATE_LIMITED 100 of 200, again in 100')
  wait(100)
  expect([enter(100), enter(1)]).toEqual(['', 'RATE_LIMITED 1 of 200, again in 5'])
  wait(3_600_000)
  expect([enter(1_000), enter(1_000), enter(1)]).toEqual(['', '', 'RATE_LIMITED 1 of 200, again in 5'])
})

test('the largest body passes a rate that is smaller, after a while', () => {
  const { enter, wait } = admissionOf({ bytes_per_second: '10' })
  expect(enter(1_000)).toBe('')
  expect(enter(1_000)).toBe('RATE_LIMITED 1000 of 10, again in 100000')
  wait(100_000)
  expect(enter(1_000)).toBe('')
})

test('requests under way are bounded; one that ends twice counts once', () => {
  const { enter, hold } = admissionOf({ requests_in_flight: '2' })
  const leave = hold(1)
  hold(1)
  expect(enter(1)).toBe('REQUESTS_TOO_MANY 3 of 2, again in 1000')
  leave()
  leave()
  hold(1)
  expect(enter(1)).toBe('REQUESTS_TOO_MANY 3 of 2, again in 1000')
})

test('series are active for half an hour to an hour after they came last', () => {
  const { series, wait } = admissionOf({ active_series: '3' })
  expect([series(1, 2, 2, 3), series(1, 3)]).toEqual(['', ''])
  expect(series(2, 4)).toBe('SERIES_TOO_MANY 4 of 3, again in 300000')
  wait(1_800_000)
  expect([series(1, 2), series(4)]).toEqual(['', 'SERIES_TOO_MANY 4 of 3, again in 300000'])
  wait(1_799_000)
  expect(series(1, 2, 4)).toBe('SERIES_TOO_MANY 4 of 3, again in 1000')
  wait(1_000)
  // 3 did not come again.
  expect([series(1, 2, 4), series(3)]).toEqual(['', 'SERIES_TOO_MANY 4 of 3, again in 300000'])
  wait(3_600_000)
  expect(series(5, 6, 7)).toBe('')
})
