import { expect, test } from 'vitest'
import {
  functionId,
  functionStackId,
  groupId,
  labelsetId,
  murmur3x86x128,
  namedFrameId,
  seriesId,
  stackId,
  unnamedFrameId,
} from './identity.ts'

// SMHasher's verification: hash {}, {0}, {0,1}, ... with seed 256 - length, then hash the digests; the
// published value of MurmurHash3_x86_128 is 0xB3ECE62A (aappleby/smhasher, main.cpp).
test('the hash is MurmurHash3 x86_128', () => {
  const digests = new Uint32Array(256 * 4)
  const key = Uint8Array.from({ length: 256 }, (_, i) => i)
  for (let i = 0; i < 256; i++) digests.set(murmur3x86x128(key.subarray(0, i), 256 - i), 4 * i)
  expect(murmur3x86x128(new Uint8Array(digests.buffer), 0)[0]).toBe(0xb3ece62a)
})

// Computed once from the encoding in identity.ts's head comment; a change orphans stored rows.
test('ids of rule version 1 stay', () => {
  expect(functionId('main.run', 'main.run', 'main.go', 10, 'api').toString(16)).toMatchInlineSnapshot(
    `"f007f9b39070c83d"`,
  )
  expect(
    seriesId(
      [{ name: 'service_name', value: 'api' }],
      'process_cpu:cpu:nanoseconds:cpu:nanoseconds',
    ).toString(16),
  ).toMatchInlineSnapshot(`"b77828ce323e2f9e"`)
  expect(unnamedFrameId('abcd', 'libc.so.6', 0x1234n).toString(16)).toMatchInlineSnapshot(
    `"64d56deff61ecea1"`,
  )
})

test('fields do not run into each other', () => {
  const ids = [
    functionId('ab', 'c', '', 0, ''),
    functionId('a', 'bc', '', 0, ''),
    functionId('', 'abc', '', 0, ''),
    functionId('abc', '', '', 0, ''),
    functionId('abc', '', '', 1, ''),
    functionId('abc', '', '', 0, 'x'),
    functionId('é', '', '', 0, ''),
    functionId('Ã©', '', '', 0, ''),
  ]
  expect(new Set(ids).size).toBe(ids.length)
})

test('a frame without a name is its build and address, or its module and address', () => {
  expect(unnamedFrameId('b1', 'a.so', 1n)).toBe(unnamedFrameId('b1', 'renamed.so', 1n))
  expect(unnamedFrameId('', 'a.so', 1n)).not.toBe(unnamedFrameId('', 'b.so', 1n))
  expect(unnamedFrameId('a.so', '', 1n)).not.toBe(unnamedFrameId('', 'a.so', 1n))
  expect(namedFrameId(7n, 3, 'b1')).not.toBe(namedFrameId(7n, 3, 'b2'))
})

test('order counts in a stack and not among labels', () => {
  expect(stackId(BigUint64Array.of(1n, 2n))).not.toBe(stackId(BigUint64Array.of(2n, 1n)))
  expect(stackId(BigUint64Array.of(1n, 2n))).not.toBe(functionStackId(BigUint64Array.of(1n, 2n)))
  const a = { name: 'a', value: '1' }
  const b = { name: 'b', value: '2' }
  expect(seriesId([a, b], 't')).toBe(seriesId([b, a], 't'))
  expect(seriesId([a, b], 't')).not.toBe(seriesId([a, b], 'u'))
  const unit = (label: typeof a) => ({ ...label, unit: null })
  expect(labelsetId([unit(a), unit(b)])).toBe(labelsetId([unit(b), unit(a)]))
  expect(labelsetId([unit(a)])).not.toBe(labelsetId([{ ...a, unit: '' }]))
})

test('nothing is 0n', () => {
  expect(stackId(new BigUint64Array(0))).toBe(0n)
  expect(functionStackId(new BigUint64Array(0))).toBe(0n)
  expect(labelsetId([])).toBe(0n)
})

test('a group keeps the listed labels only', () => {
  const service = { name: 'service_name', value: 'api' }
  const version = { name: 'service_version', value: '1' }
  const pod = { name: 'pod', value: 'api-1' }
  expect(groupId([service, version, pod])).toBe(groupId([version, service]))
  expect(groupId([service, version])).not.toBe(groupId([service]))
})

test('long text and a long stack', () => {
  expect(functionId('x'.repeat(100_000), '', '', 0, '')).not.toBe(
    functionId('x'.repeat(100_001), '', '', 0, ''),
  )
  const ids = BigUint64Array.from({ length: 4096 }, (_, i) => BigInt(i))
  expect(stackId(ids)).not.toBe(stackId(ids.slice(0, 4095)))
})
