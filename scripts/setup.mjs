// Makes a clone ready: npm packages, system packages, the native agent, the pages. Again it takes a second.
// Plain JavaScript: it runs on whatever Node the machine has, before the project's own is there.
import { appendFileSync, chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { whenChanged } from './setup/fingerprint.mjs'
import { installPackages, packageLists } from './setup/packages.mjs'
import { invoker, root, runLogged } from './setup/run.mjs'
import { note, say, seconds } from './setup/say.mjs'

const manifests = ['package-lock.json', 'package.json']

/**
 * lists: which system packages, of `run` and `test`; without `run` no agent is built.
 * Returns what could not be done, as sentences for whoever comes next; empty when all is ready.
 */
export async function setup(lists = ['run']) {
  const missing = []
  if (process.platform !== 'linux')
    missing.push('profiling needs Linux; server, pages and CLI go on without it')
  const as = invoker()
  mkdirSync(join(root, '.strobe'), { recursive: true })
  const log = join(root, '.strobe/setup.log')
  appendFileSync(log, '')
  if (as.uid !== undefined)
    for (const path of ['.strobe', '.strobe/setup.log']) chownSync(join(root, path), as.uid, as.gid)

  const product = ['node_modules/.bin/vite', 'node_modules/@strobe/cli/package.json']
  await whenChanged('npm', { paths: manifests, product }, async () => {
    const since = performance.now()
    say('installing npm packages, the Node runtime and ClickHouse among them (1.3 GB on disk)')
    await runLogged('npm', ['ci', '--no-audit', '--no-fund'], { log, as })
    say(`npm packages installed in ${seconds(since)}`)
  })

  const absent = process.platform === 'linux' && lists.length > 0 ? await installPackages(lists, log) : []
  const unbuildable = absent.filter(name => packageLists.run.includes(name))
  if (unbuildable.length > 0) missing.push(`the agent is not built: it needs ${unbuildable.join(' ')}`)
  const untestable = absent.filter(name => packageLists.test.includes(name))
  if (untestable.length > 0) missing.push(`some tests will not run: they need ${untestable.join(' ')}`)

  if (process.platform === 'linux' && lists.includes('run') && unbuildable.length === 0) {
    const build = {
      paths: ['agent/native', 'bpf'],
      product: ['strobe_agent.node', 'strobe-launch', 'strobe-dwarf'].map(
        name => `agent/native/build/${name}`,
      ),
    }
    await whenChanged('native', build, async () => {
      const since = performance.now()
      say('compiling the agent: BPF programs, addon, launcher, reader of debug information')
      await runLogged('make', ['-C', 'agent/native', '-j2', 'all'], { log, as })
      say(`agent compiled in ${seconds(since)}`)
    })
  }

  await whenChanged(
    'ui',
    { paths: ['ui', 'profile/src', ...manifests], product: ['ui/dist/index.html'] },
    async () => {
      const since = performance.now()
      say('building the pages')
      await runLogged('npm', ['run', 'build', '-w', '@strobe/ui'], { log, as })
      say(`pages built in ${seconds(since)}`)
    },
  )
  return missing
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const lists = process.argv.includes('--test') ? ['run', 'test'] : ['run']
  try {
    const missing = await setup(lists)
    for (const sentence of missing) note(sentence)
    say(missing.length === 0 ? 'is set up' : 'is set up in part')
  } catch (error) {
    console.error(error.message)
    process.exit(1)
  }
}
