import { expect, test } from 'vitest'
import { fillOf, isRuntime, packageOf, patterns } from './palette.ts'
import type { Frame } from './tree.ts'

const frame = (name: string, change: Partial<Frame> = {}): Frame => ({
  name,
  file: '',
  module: 'app',
  kind: 'native',
  ...change,
})

test.each([
  ['net/http.(*conn).serve', 'net/http'],
  ['github.com/acme/cart.Total', 'github.com/acme/cart'],
  [
    'github.com/google/btree.(*node[go.shape.interface { Less(github.com/x/y.Item) bool }]).iterate',
    'github.com/google/btree',
  ],
  ['fmt.(*pp).printArg', 'fmt'],
  ['main.main', 'main'],
  ['std::vector<a::b>::push_back', 'std'],
  ['<alloc::vec::Vec<T> as core::ops::Index>::index', 'alloc'],
  ['com.acme.Cart.total', 'com.acme'],
  ['malloc', 'app'],
  ['operator new(unsigned long)', 'app'],
])('%s belongs to %s', (name, expected) => expect(packageOf(frame(name))).toBe(expected))

test('one package is one hue, kinds without a package have patterns', () => {
  const hueOf = (name: string) => fillOf(frame(name)).split(' ').at(-1)
  expect(hueOf('net/http.(*conn).serve')).toBe(hueOf('net/http.ListenAndServe'))
  expect(fillOf(frame('do_syscall_64', { kind: 'kernel' }))).toBe(`url(#${patterns.kernel})`)
  expect(fillOf(frame('libx.so+0x10', { kind: 'unsymbolized' }))).toBe(`url(#${patterns.unsymbolized})`)
  expect(fillOf(frame('12 smaller frames', { kind: 'omitted' }))).toBe(`url(#${patterns.omitted})`)
})

test('the runtime is told from the program', () => {
  expect(isRuntime(frame('runtime.mallocgc'))).toBe(true)
  expect(isRuntime(frame('runtimes.Pick'))).toBe(false)
  expect(isRuntime(frame('memcpy', { module: 'libc.so.6' }))).toBe(true)
})
