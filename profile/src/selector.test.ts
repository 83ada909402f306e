import { expect, test } from 'vitest'
import type { StrobeError } from './errors.ts'
import { formatSelector, parseSelector } from './selector.ts'

function show(text: string): string {
  return parseSelector(text)
    .map(({ name, op, value }) => `${name} ${op} ${JSON.stringify(value)}`)
    .join(', ')
}

test.each([
  ['', ''],
  ['  ', ''],
  ['{}', ''],
  ['{service_name="api"}', 'service_name = "api"'],
  [' { a = "b" , c != \'d\', } ', 'a = "b", c != "d"'],
  ['{a=~"x.*",b!~`y\\d`}', 'a =~ "x.*", b !~ "y\\\\d"'],
  ['cpu{a="b"}', '__name__ = "cpu", a = "b"'],
  ['process_cpu:cpu{a="b"}', '__name__ = "process_cpu:cpu", a = "b"'],
  ['cpu', '__name__ = "cpu"'],
  ['{version=~"1\\\\..*"}', 'version =~ "1\\\\..*"'],
  ['{a="q\\"u\\"o\\\\te\\n\\t\\x41\\u00e9\\101"}', 'a = "q\\"u\\"o\\\\te\\n\\tAéA"'],
  ['{a="é 😀"}', 'a = "é 😀"'],
  ['{"service.name"="x"}', 'service.name = "x"'],
  ['{"cpu", a="b"}', '__name__ = "cpu", a = "b"'],
  ['{a="1",a="2"}', 'a = "1", a = "2"'],
])('%s', (text, wanted) => {
  expect(show(text)).toBe(wanted)
})

test.each([
  ['{a=}', 3],
  ['{a="b"', 6],
  ['{a=="b"}', 3],
  ['{="b"}', 1],
  ['rate(x[5m])', 0],
  ['{a="b"}[5m]', 0],
  ['{a="b"} + 1', 0],
  ['{a="\\q"}', 4],
  ['{a="b"} }', 8],
])('%s is refused at %i', (text, position) => {
  try {
    parseSelector(text)
    expect.fail('accepted')
  } catch (error) {
    const { code, details } = error as StrobeError
    expect({ code, position: details.position }).toEqual({ code: 'BAD_SELECTOR', position })
  }
})

test('what is written is read back', () => {
  const matchers = [
    { name: 'a', op: '=~', value: 'x"\\\n\'`é' },
    { name: 'service.name', op: '!=', value: '' },
  ] as const
  expect(parseSelector(formatSelector(matchers))).toEqual(matchers)
  expect(formatSelector([])).toBe('{}')
})
