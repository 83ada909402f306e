import { expect, test } from 'vitest'
import { formatTable } from './table.ts'

test('numbers line up on the right, text on the left', () => {
  const table = formatTable(
    [{ title: 'self', isNumber: true }, { title: 'kind' }, { title: 'function' }],
    [
      ['1.5 s', 'native', 'main'],
      ['120 ms', 'jit', 'fib'],
    ],
  )
  expect(table).toBe('  self  kind    function\n 1.5 s  native  main\n120 ms  jit     fib')
})

test('the last column is cut to the width', () => {
  expect(formatTable([{ title: 'n' }, { title: 'name' }], [['1', 'abcdefghijklmnop']], 13)).toBe(
    'n  name\n1  abcdefghi…',
  )
})

test('control characters of a profile do not reach the terminal', () => {
  expect(formatTable([{ title: 'name' }], [['a\u001b[31mb\nc']])).toBe('name\na�[31mb�c')
})
