import { expect, test } from 'vitest'
import type { StrobeError } from './errors.ts'
import { formatSelector, locateMatchers, parseSelector } from './selector.ts'

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
  // From PromQL's own tables (promql/parser/parse_test.go) and its page on string literals.
  [
    'foo{a="b", foo!="bar", test=~"test", bar!~"baz"}',
    '__name__ = "foo", a = "b", foo != "bar", test =~ "test", bar !~ "baz"',
  ],
  ['{"foo", a="bc"}', '__name__ = "foo", a = "bc"'],
  ['{__name__=~"process_.*"}', '__name__ =~ "process_.*"'],
  ['{__name__="a",__name__=~"a.*"}', '__name__ = "a", __name__ =~ "a.*"'],
  ['{sum="a",by="b",on="c",offset="d"}', 'sum = "a", by = "b", on = "c", offset = "d"'],
  ['sum{a="b"}', '__name__ = "sum", a = "b"'],
  ['{a=""}', 'a = ""'],
  ['{a="b"} # why', 'a = "b"'],
  ['# why\n{a="b", # and here\n c="d"}', 'a = "b", c = "d"'],
  ["{a='it\\'s'}", 'a = "it\'s"'],
  ['{a="\\xc3\\xa9\\303\\251"}', 'a = "éé"'],
  ['{a="\\U0001f600"}', 'a = "😀"'],
  ['{a=`a\nb`}', 'a = "a\\nb"'],
  ['{a=`\\n"\'`}', 'a = "\\\\n\\"\'"'],
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
  ['{,}', 1],
  ['{a="b",,}', 7],
  ['{a="b" c="d"}', 7],
  ['{a=1}', 3],
  ['{1a="b"}', 1],
  ['{a-b="c"}', 2],
  ['{a:b="c"}', 2],
  ['{a="b', 5],
  ['foo{__name__="bar"}', 4],
  ['foo{__name__=~"bar"}', 4],
  ['{"foo",__name__="bar"}', 7],
  ['{__name__="bar","foo"}', 16],
  ['{"foo","bar"}', 7],
  ['{""="x"}', 1],
  ['foo offset 5m', 0],
  ['foo @ 5', 0],
  ['({a="b"})', 0],
  ['{a="b"}{c="d"}', 7],
  ['NaN', 0],
  ['{a="\\\'"}', 4],
  ["{a='\\\"'}", 4],
  ['{a="x\\xff"}', 5],
  ['{a="\\xc3é"}', 4],
  ['{a="\\400"}', 4],
  ['{a="\\08"}', 4],
  ['{a="\\ud800"}', 4],
  ['{a="\\U00110000"}', 4],
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

test('a matcher knows where its value stands', () => {
  const text = 'cpu{a="b" , "c" =~ `d`}'
  expect(
    locateMatchers(text).map(({ value, position }) => text.slice(position, position + value.length)),
  ).toEqual(['cpu', 'b', 'd'])
})
