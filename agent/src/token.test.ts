import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readAgentToken } from './token.ts'

const folder = mkdtempSync(join(tmpdir(), 'strobe-token-'))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

test.each([
  ['a file wins', file('good', 'from-file\n'), { STROBE_TOKEN: 'from-env' }, 'from-file'],
  ['the environment', '', { STROBE_TOKEN: ' from-env\n' }, 'from-env'],
  ['neither', '', {}, ''],
])('%s', (_name, path, env, token) => {
  expect(readAgentToken(path, env)).toBe(token)
})

test.each([
  ['one that is not there', join(folder, 'absent'), /ENOENT.*--token-file/],
  ['an empty one', file('empty', '\n'), /holds no key/],
  ['two lines', file('two', 'a\nb\n'), /holds no key/],
])('%s is told', (_name, path, message) => {
  expect(() => readAgentToken(path, {})).toThrow(
    expect.objectContaining({ code: 'TOKEN_UNREADABLE', message: expect.stringMatching(message) }),
  )
})
