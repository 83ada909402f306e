/** The commands that README and docs/install show are run, here or where the table says. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { cannotProfile } from './agent-record.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'strobe-docs-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Lines after `$` in the console blocks of a page. */
function commandsOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/```console\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
    block.split('\n').flatMap(line => /^\s*\$ (.*)$/.exec(line)?.slice(1) ?? []),
  )
}

/** Text that the command prints when it did what the page says. */
const runHere: Record<string, RegExp> = {
  [`npx strobe record -d 5 -o json.pb.gz -- node -e 'for (;;) JSON.parse("[1, 2, 3]")'`]:
    /json\.pb\.gz[\s\S]*JsonParser/,
  'go tool pprof -top json.pb.gz': /flat%[\s\S]*JsonParser/,
  'npx strobe check': /kernel[\s\S]*btf/,
}
const runElsewhere: Record<string, string> = {
  'npm start': 'test/fresh/start.test.ts',
  'npm start -- --demo': 'test/fresh/start.test.ts',
  'npm run uninstall': 'test/fresh/start.test.ts',
  'npm test': '.ci/run',
}

const pages = ['README.md', 'docs/install.md']
const commands = [...new Set(pages.flatMap(commandsOf))]

test('every command of the pages is run somewhere, and no other', () => {
  expect([...commands].sort()).toEqual([...Object.keys(runHere), ...Object.keys(runElsewhere)].sort())
})

test.each(Object.entries(runElsewhere))('%s is run by %s', (command, file) => {
  const words = command.split(' ').filter(word => !/^(npm|run|--)$/.test(word))
  for (const word of words) expect(readFileSync(join(root, file), 'utf8')).toContain(word)
})

describe.skipIf(cannotProfile !== '')(`the commands of the pages${cannotProfile}`, () => {
  test.each(commands.filter(command => command in runHere))('%s', command => {
    // As in the clone, from another folder: what a command writes must not land in the tree.
    const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}`, PPROF_TMPDIR: folder }
    const output = execFileSync('sh', ['-c', `${command.replace(/^npx /, '')} 2>&1`], {
      cwd: folder,
      encoding: 'utf8',
      env,
    })
    expect(output).toMatch(runHere[command] ?? /^$/)
  })
})
