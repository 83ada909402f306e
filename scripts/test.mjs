// npm test: sets up, runs everything CI runs, ends with a table. `npm test -- server` runs a part:
// a stage by name, or the tests whose path contains the word.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { packageLists } from './setup/packages.mjs'
import { outputOf, projectEnv, root } from './setup/run.mjs'
import { bold, dim, green, note, red, say, seconds } from './setup/say.mjs'
import { setup } from './setup.mjs'

const words = process.argv.slice(2)
const reports = join(root, '.strobe/test')
rmSync(reports, { recursive: true, force: true })
mkdirSync(reports, { recursive: true })

/** name, seconds, passed, failed, notRun: [{what, why}] of each stage, in order. */
const rows = []

function run(command, args, extraEnv = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...projectEnv(), ...extraEnv },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', chunk => {
        output += chunk
        process.stdout.write(chunk)
      })
    child.once('error', reject)
    child.once('close', code => resolve({ code, output }))
  })
}

async function stage(name, body) {
  const since = performance.now()
  console.log(`\n${bold(`== ${name}`)}`)
  let row
  try {
    row = await body()
  } catch (error) {
    console.error(error)
    row = { passed: 0, failed: 1, notRun: [] }
  }
  rows.push({ name, seconds: (performance.now() - since) / 1000, ...row })
}

/** A stage of one verdict: its own lines `N passed, N failed` count when it prints them. */
async function command(program, args) {
  const { code, output } = await run(program, args)
  let passed = 0
  let failed = 0
  for (const match of output.matchAll(/^(?:\w+: )?(\d+) passed, (\d+) failed/gm)) {
    passed += Number(match[1])
    failed += Number(match[2])
  }
  if (code !== 0 && failed === 0) failed = 1
  if (code === 0 && passed === 0) passed = 1
  return { passed, failed, notRun: [] }
}

async function vitest(project, filters) {
  const report = join(reports, `${project}.json`)
  const args = [
    'vitest',
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const { code } = await run('node', ['node_modules/.bin/vitest', ...args.slice(1), ...filters])
  if (!existsSync(report)) return { passed: 0, failed: 1, notRun: [] }
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'))
  const tests = testResults.flatMap(file => file.assertionResults)
  const passed = tests.filter(test => test.status === 'passed').length
  const failedTests = tests.filter(test => test.status === 'failed').length
  // A file that does not even load has no tests, yet has failed.
  const brokenFiles = testResults.filter(
    file => file.status === 'failed' && file.assertionResults.length === 0,
  ).length
  const failed = failedTests + brokenFiles || (code === 0 ? 0 : 1)
  // Tests that cannot run here say why in a title of theirs: `title (not run: reason)`.
  const notRun = tests
    .filter(test => test.status !== 'passed' && test.status !== 'failed')
    .map(test => {
      const [, why] = /[[(](?:not run|skipped): ([^\])]*)[\])]/.exec(test.fullName) ?? []
      return { what: test.fullName, why: why ?? `skipped in the code: ${test.fullName}` }
    })
  return { passed, failed, notRun }
}

const hasPackage = name => outputOf('dpkg-query', ['-W', '-f', '${db:Status-Status}', name]) === 'installed'
const stages = {
  setup: async () => {
    const missing = await setup(['run', 'test'])
    for (const sentence of missing) note(sentence)
    return { passed: 1, failed: 0, notRun: missing.map(why => ({ what: 'part of the set-up', why })) }
  },
  check: () => command('node_modules/.bin/node', ['scripts/check/main.ts']),
  unit: filters => vitest('unit', filters),
  native: () => {
    const absent = packageLists.run.filter(name => !hasPackage(name))
    if (absent.length > 0)
      return { passed: 0, failed: 0, notRun: [{ what: 'native tests', why: `missing ${absent.join(' ')}` }] }
    return command('make', ['-C', 'agent/native', 'test'])
  },
  system: filters => vitest('system', filters),
  fresh: filters => vitest('fresh', filters),
}

const named = words.filter(word => word in stages)
const filters = words.filter(word => !(word in stages))
const since = performance.now()
for (const [name, body] of Object.entries(stages)) {
  const wanted =
    words.length === 0 ||
    name === 'setup' ||
    named.includes(name) ||
    (filters.length > 0 && named.length === 0 && /unit|system/.test(name))
  if (wanted) await stage(name, () => body(filters))
}

const total = key => rows.reduce((sum, row) => sum + row[key], 0)
console.log(`\n${bold('stage     seconds  passed  failed  not run')}`)
for (const row of rows) {
  const line = `${row.name.padEnd(8)}${row.seconds.toFixed(1).padStart(9)}${String(row.passed).padStart(8)}${String(row.failed).padStart(8)}${String(row.notRun.length).padStart(9)}`
  console.log(row.failed > 0 ? red(line) : line)
}
const reasons = Map.groupBy
  ? Map.groupBy(
      rows.flatMap(row => row.notRun),
      each => each.why,
    )
  : rows
      .flatMap(row => row.notRun)
      .reduce((map, each) => map.set(each.why, [...(map.get(each.why) ?? []), each]), new Map())
for (const [why, each] of reasons) console.log(dim(`not run (${each.length}): ${why}`))
say(`${total('failed') === 0 ? green('all passed') : red('failed')} in ${seconds(since)}`)
const skipped = rows.reduce((sum, row) => sum + row.notRun.length, 0)
console.log(
  `${total('passed')} passed, ${total('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
)
process.exit(total('failed') === 0 ? 0 : 1)
