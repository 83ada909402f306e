/** The README's commands, on a Debian root that holds git, Node and npm and nothing else. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'

const freshRoot = fileURLToPath(new URL('./fresh-root', import.meta.url))

function whyNot(): string | null {
  if (process.env.STROBE_FRESH_ROOT) return 'inside such a root already'
  if (process.getuid?.() !== 0) return 'needs root'
  if (spawnSync('mmdebstrap', ['--version']).status !== 0) return 'needs the package mmdebstrap'
  return null
}
const reason = whyNot()
const fresh = reason === null ? test : test.runIf(false)
const name = (text: string) => (reason === null ? text : `${text} [not run: ${reason}]`)

let running: ChildProcess | undefined
afterEach(async () => {
  if (!running || running.exitCode !== null) return
  const ended = new Promise(resolve => running?.once('close', resolve))
  running.kill('SIGTERM')
  await ended
})

/** Starts the command in a fresh root and gives what it printed so far and the address once it says it. */
async function start(asUser: 'root' | 'plain user', ...args: string[]) {
  const since = performance.now()
  const user = asUser === 'root' ? [] : ['-u']
  const child = spawn(
    freshRoot,
    [...user, '--', 'npm', 'start', '--', '--port', '0', '--grpc-port', '0', ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  running = child
  let output = ''
  const address = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', chunk => {
        output += chunk
        const found = /http:\/\/localhost:\d+/.exec(output)
        if (found) resolve(found[0].replace('localhost', '127.0.0.1'))
      })
    child.once('close', code => reject(new Error(`npm start ended with ${code}:\n${output}`)))
  })
  return { address, output: () => output, seconds: () => (performance.now() - since) / 1000 }
}

async function until<T>(what: string, read: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 240_000
  for (;;) {
    const value = await read().catch(() => undefined)
    if (value !== undefined) return value
    if (performance.now() > deadline) throw new Error(`never came: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

const getJson = async <T>(url: string) => (await (await fetch(url)).json()) as T

fresh(name('npm start alone leads to the flame graph of this host'), async () => {
  const { address, seconds } = await start('root')
  const path = `${address}/api/v1/flamegraph?type=cpu&from=now-15m&to=now&query=%7B%7D`
  const graph = await until('a flame graph', async () => {
    const answer = await getJson<{ total: number; kinds: string[]; nodes?: { name: number[] } }>(path)
    return (answer.nodes?.name.length ?? 0) > 20 ? answer : undefined
  })
  expect(graph.total).toBeGreaterThan(0)
  expect(graph.kinds).toContain('kernel')
  expect(graph.kinds).toContain('native')
  console.log(`cold npm start to the first flame graph: ${seconds().toFixed(0)} s`)
})

fresh(name('as a plain user server and pages start, and say why this host is not profiled'), async () => {
  const { address, output } = await start('plain user')
  expect(output()).toMatch(/apt-get install/)
  expect(await (await fetch(address)).text()).toContain('<title>Strobe')
  const agent = await until('the agent', async () => {
    const { agents } = await getJson<{ agents: { state: string; reason: string }[] }>(
      `${address}/api/v1/agents`,
    )
    return agents[0]
  })
  expect(agent.state).toBe('cannot_profile')
  expect(agent.reason).not.toBe('')
})

fresh(name('npm start -- --demo needs no root'), async () => {
  const { address, seconds } = await start('plain user', '--demo')
  const services = await until('three services', async () => {
    const answer = await getJson<{ services: { demo: boolean }[] }>(
      `${address}/api/v1/services?from=now-14d&to=now`,
    )
    return answer.services.length === 3 ? answer.services : undefined
  })
  expect(services.every(service => service.demo)).toBe(true)
  console.log(`cold npm start -- --demo: ${seconds().toFixed(0)} s`)
})

fresh(name('npm run uninstall leaves nothing that set-up made'), () => {
  const made = 'node_modules ui/dist .strobe'
  const script = `npm run setup && ls -d ${made} && npm run uninstall && ! ls -d ${made}`
  const output = execFileSync(freshRoot, ['-u', '--', 'sh', '-c', script], { encoding: 'utf8' })
  expect(output).toContain('deleting node_modules')
})
