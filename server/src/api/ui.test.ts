import { expect, test } from 'vitest'
import { withBase } from './ui.ts'

test.each([
  ['/', './'],
  ['/services', './'],
  ['/s/api', '../'],
  ['/s/api/', '../../'],
  ['/a/b/c', '../../'],
])('a page at %s starts from %s', (path, base) => {
  expect(withBase('<head><title>x</title></head>', path)).toBe(
    `<head><base href="${base}"><title>x</title></head>`,
  )
  expect(withBase('<head><base href="./" /></head>', path)).toBe(`<head><base href="${base}"></head>`)
})
