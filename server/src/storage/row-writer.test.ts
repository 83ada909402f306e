import { expect, test } from 'vitest'
import { RowWriter } from './row-writer.ts'

test('grows at every kind of value without losing a byte', () => {
  const write = (row: RowWriter) => {
    for (let time = 0; time < 40; time++) {
      row.uint8(200)
      row.uint16(65_535)
      row.uint32(4_294_967_295)
      row.uint64(2n ** 64n - 1n)
      row.int64(-(2n ** 63n))
      row.string(`é${'x'.repeat(time * 7)}`)
      row.fixed(Uint8Array.of(1, 2, 3))
      row.array64(BigUint64Array.of(BigInt(time), 2n))
      row.arrayOfHalves(Uint32Array.of(time, 0, 2, 0))
      row.halves(time, 0xffffffff)
      row.utf8(new Uint8Array(time))
      row.map([{ name: 'a', value: 'b' }])
    }
    return Buffer.from(row.bytes())
  }
  const roomy = write(new RowWriter(1 << 20))
  for (let size = 1; size < 64; size++)
    expect(write(new RowWriter(size)).equals(roomy), `from ${size}`).toBe(true)
  expect(roomy.subarray(0, 27).toString('hex')).toBe(
    `c8${'ff'.repeat(2)}${'ff'.repeat(4)}${'ff'.repeat(8)}0000000000000080${'02c3a9'}01`,
  )
})
