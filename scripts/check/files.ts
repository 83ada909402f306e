import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Paths of files that git has or would take, relative to the root; patterns as for git ls-files. */
export function listFiles(...patterns: string[]): string[] {
  const text = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', ...patterns], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  return [...new Set(text.split('\n').filter(path => path !== '' && existsSync(join(root, path))))].sort()
}

export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
