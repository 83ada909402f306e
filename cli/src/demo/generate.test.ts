import { gunzipSync } from 'node:zlib'
import { toBinary } from '@bufbuild/protobuf'
import { decodePprof } from '@strobe/profile'
import { WriteRequestSchema } from '@strobe/proto'
import { expect, test } from 'vitest'
import { demoRequestCount, generateDemo } from './generate.ts'

const endMs = Date.UTC(2026, 0, 15, 12, 30, 12)
const options = { endMs, days: 14, seed: 1 }

/** CPU time of the stacks that hold a function, as a share of a service's, in one version. */
function shareOf(service: string, version: string, fn: string): number {
  let through = 0n
  let total = 0n
  for (const request of generateDemo({ ...options, days: 2 }))
    for (const body of request.bodies) {
      const profile = decodePprof(gunzipSync(body.pprof))
      for (let sample = 0; sample < profile.values.length; sample++) {
        const series = body.series[Number(profile.labelNumber[profile.labelOffset[sample] ?? 0])]
        const label = (name: string) => series?.labels.find(each => each.name === name)?.value
        if (label('service_name') !== service || label('service_version') !== version) continue
        const value = profile.values[sample] ?? 0n
        total += value
        const names = [
          ...profile.stackLocation.subarray(profile.stackOffset[sample], profile.stackOffset[sample + 1]),
        ].map(location => profile.functions[profile.lineFunction[location] ?? 0]?.name)
        if (names.includes(fn)) through += value
      }
    }
  return Number(through) / Number(total)
}

test('covers two weeks up to the last whole minute, newest first, without a gap', () => {
  const minutes = new Set<number>()
  let first = 0
  for (const request of generateDemo({ ...options, days: 1 }))
    for (const series of request.bodies[0]?.series ?? []) {
      const minute = Number(series.timeUnixNanos / 60_000_000_000n)
      first ||= minute
      minutes.add(minute)
    }
  expect(minutes.size).toBe(1440)
  expect(Math.max(...minutes)).toBe(Math.floor(endMs / 60_000) - 1)
  expect(first).toBeGreaterThan(Math.max(...minutes) - 31)
  expect(demoRequestCount({ days: 14 })).toBe(672)
})

test('the same options give the same bytes', () => {
  const bytes = () =>
    toBinary(WriteRequestSchema, generateDemo(options).next().value ?? expect.fail('no request'))
  expect(Buffer.compare(bytes(), bytes())).toBe(0)
})

test('the newest version of storefront formats prices for several points more of its CPU', () => {
  // By the table of stacks: 76.5 in all, less 1.35 that 2.7.0 saved; 4.5 of them format prices, then 3.4 times that.
  const before = shareOf('storefront', '2.7.0', 'storefront/price.(*Formatter).Format')
  const after = shareOf('storefront', '2.8.0', 'storefront/price.(*Formatter).Format')
  expect(before).toBeCloseTo(4.5 / 75.15, 2)
  expect(after).toBeCloseTo(15.3 / 85.95, 2)
})
