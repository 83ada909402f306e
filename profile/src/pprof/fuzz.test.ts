import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { StrobeError } from '../errors.ts'
import { resolveStacks } from '../normalize.ts'
import { decodePprof } from './decode.ts'
import { encodePprof } from './encode.ts'

function columnBytes(profile: object): number {
  return Object.values(profile).reduce(
    (sum, column) => sum + (ArrayBuffer.isView(column) ? column.buffer.byteLength : 0),
    0,
  )
}

test('2,000 mutated files: a coded refusal or a profile, memory and time in proportion', () => {
  const folder = new URL('../../../test/data/conformance/', import.meta.url)
  const seeds = [
    'go-cpu-errgroup',
    'go-heap-small',
    'go-inlined.cpu',
    'node-perfmap',
    'raw-native-kernel',
  ].map(name => gunzipSync(readFileSync(new URL(`pprof/${name}.pb.gz`, folder))))
  let state = 20261125
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const interesting = [0, 1, 0x7f, 0x80, 0xff, 8, 10, 18, 26, 34]
  const outcomes = new Map<string, number>()
  const started = performance.now()
  for (let round = 0; round < 2000; round++) {
    let bytes = Uint8Array.from(seeds[round % seeds.length]!)
    for (let edits = 1 + random(6); edits > 0; edits--) {
      const at = random(bytes.length)
      const kind = random(4)
      if (kind === 0) bytes[at] = interesting[random(interesting.length)]!
      else if (kind === 1) bytes[at]! ^= 1 << random(8)
      else if (kind === 2) bytes = bytes.slice(0, at + 1)
      else {
        const piece = bytes.slice(at, at + random(64))
        const to = random(bytes.length)
        bytes = Uint8Array.from([...bytes.slice(0, to), ...piece, ...bytes.slice(to)])
      }
    }
    let outcome = 'accepted'
    try {
      const profile = decodePprof(bytes)
      expect(columnBytes(profile)).toBeLessThan(64 * bytes.length + 65_536)
      const resolved = resolveStacks(profile)
      expect(columnBytes(resolved)).toBeLessThan(256 * bytes.length + 65_536)
      expect(decodePprof(encodePprof(profile))).toEqual(profile)
    } catch (error) {
      if (!(error instanceof StrobeError)) throw error
      outcome = error.code
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  expect(performance.now() - started).toBeLessThan(20_000)
  // The mutations reach beyond the first check: many are accepted, many causes are named.
  expect(outcomes.get('accepted')).toBeGreaterThan(100)
  expect(outcomes.size).toBeGreaterThan(6)
})
