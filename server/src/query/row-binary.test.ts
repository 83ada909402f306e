import { expect, test } from 'vitest'
import { idOfText, idText, readStackRows, readStackSums } from './row-binary.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

test('sums are read with their sign and beyond 64 bits', () => {
  const { ids, weights } = readStackSums(
    hex(
      `
      0100000000000000 05000000000000000000000000000000
      ffffffffffffffff ffffffffffffffffffffffffffffffff
      0000000000000080 00000000000000000100000000000000`.replaceAll(/\s/g, ''),
    ),
  )
  expect(ids.map(idText)).toEqual(['1', '18446744073709551615', '9223372036854775808'])
  expect(weights).toEqual([5n, -1n, 18_446_744_073_709_551_616n])
})

test('stacks of no, two and 130 frames', () => {
  const long = Buffer.concat([hex('0300000000000000 8201'), Buffer.alloc(130 * 8, 1)])
  const rows = [
    ...readStackRows(
      Buffer.concat([
        hex('0100000000000000 00'),
        hex('0200000000000000 02 0a00000000000000 0b00000000000000'),
        long,
      ]),
    ),
  ]
  expect(rows.map(([id, frames]) => [idText(id), frames.length])).toEqual([
    ['1', 0],
    ['2', 2],
    ['3', 130],
  ])
  expect(rows[1]![1].map(idText)).toEqual(['10', '11'])
})

test.each(['0', '1', '18446744073709551615', '1311768467463790320'])('id %s survives', id => {
  expect(idText(idOfText(id))).toBe(id)
})

test('a cut answer is refused', () => {
  expect(() => readStackSums(Buffer.alloc(23))).toThrow(RangeError)
  expect(() => [...readStackRows(hex('0100000000000000 02 0a00000000000000'))]).toThrow(RangeError)
})
