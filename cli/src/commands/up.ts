import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import type { AgentHandle } from '@strobe/agent'
import type { Command } from 'commander'
import { displayUrl } from '../api-client.ts'
import { CliError, type CommandContext, exitCodes } from '../command.ts'
import { createProgress } from '../progress.ts'
import { seedDemo } from '../seed-demo.ts'
import { findInvokingUser, prepareFolder, type ServerProcess, startServerProcess } from '../server-process.ts'
import { readLocalToken } from '../token.ts'

interface Options {
  port: string
  grpcPort: string
  data?: string
  demo?: boolean
  agent: boolean
  rate: string
}

export function configure(command: Command, context: CommandContext): void {
  command
    .option('--port <port>', 'port of the page and the API', context.env.STROBE_PORT || '4040')
    .option('--grpc-port <port>', 'port agents send to', context.env.STROBE_GRPC_PORT || '4041')
    .option('--data <dir>', 'folder of profiles and logs (default .strobe, with --demo .strobe/demo)')
    .option('--demo', 'no agent and no root: three made-up services over two weeks, in a store of their own')
    .option('--no-agent', 'server and page only')
    .option('--rate <hz>', 'samples a second on each busy CPU', '99')
    .action((options: Options) => runUp(options, context))
}

async function runUp(options: Options, context: CommandContext): Promise<void> {
  const isDemo = options.demo === true
  const given = options.data ?? context.env.STROBE_DATA
  const dataDir = resolve(given ?? (isDemo ? '.strobe/demo' : '.strobe'))
  const running = await findRunning(options.port, dataDir)
  if (running?.dataDir === dataDir) {
    context.note(`Strobe already runs on ${displayUrl(running.address)} with the data in ${dataDir}.`)
    return
  }

  const user = findInvokingUser(context.env, process.getuid?.() ?? 0)
  prepareFolder(dataDir, user)
  const stopped = waitForSignal()
  context.note('Starting the store, the server and the page ...')
  const flags = ['--port', options.port, '--grpc-port', options.grpcPort, '--data', dataDir]
  const server = await startServerProcess(isDemo ? [...flags, '--demo'] : flags, dataDir, user)
  const url = displayUrl(server.url)
  context.note(`\n  Open  ${url}\n`)
  const tunnel = describeTunnel(url, context.env)
  if (tunnel) context.note(tunnel)

  const work = new AbortController()
  let agent: AgentHandle | null = null
  try {
    if (isDemo) {
      seedDemo(server, dataDir, createProgress(context), work.signal).then(
        sent =>
          context.note(sent > 0 ? 'Demo data is complete. Ctrl-C ends.' : 'Demo data is there. Ctrl-C ends.'),
        error => context.note(`strobe: demo data is not complete: ${(error as Error).message}`),
      )
    } else if (options.agent) agent = await startHostAgent(server, dataDir, options, context)
    const why = await Promise.race([stopped.first, server.ended])
    if (typeof why === 'number')
      throw new CliError(
        `the server ended by itself with exit code ${why}; see ${join(dataDir, 'server.log')}`,
      )
  } finally {
    work.abort()
    await shutDown(server, agent, stopped.second, context)
  }
  // A library that keeps a timer must not keep the command.
  process.exit(exitCodes.ok)
}

async function startHostAgent(
  server: ServerProcess,
  dataDir: string,
  options: Options,
  context: CommandContext,
): Promise<AgentHandle | null> {
  const { startAgent } = await import('@strobe/agent')
  const isRoot = process.getuid?.() === 0
  if (!isRoot && context.isTerminal)
    context.note('The agent loads BPF programs, which needs root: sudo may ask for your password.')
  const agent = startAgent({
    config: { server: server.grpcAddress, rateHz: Number(options.rate), spoolDir: join(dataDir, 'spool') },
    elevate: context.isTerminal ? 'ask' : 'quietly',
    reportsWithoutProfiling: true,
    // The server's own token is another after each of its starts.
    readToken: () => context.env.STROBE_TOKEN ?? readLocalToken(new URL(server.url), dataDir),
    onLog: line => {
      // The agent logs in JSON; what is worth a line here is a warning.
      if (/"level":(40|50|60)/.test(line)) context.note(`agent: ${messageOf(line)}`)
    },
  })
  try {
    const { isProfiling, reason } = await agent.ready
    context.note(
      isProfiling
        ? `Profiling every process of this host at ${options.rate} Hz; the first flame graph is there in 10 s. Ctrl-C ends.`
        : `This host is not profiled: ${reason}\nServer and page run on; strobe check has the details. Ctrl-C ends.`,
    )
    return agent
  } catch (error) {
    context.note(
      `This host is not profiled: ${(error as Error).message}\nServer and page run on; strobe check has the details. Ctrl-C ends.`,
    )
    return null
  }
}

function messageOf(line: string): string {
  try {
    const record = JSON.parse(line) as { msg?: string; reason?: string }
    return [record.msg, record.reason].filter(Boolean).join(': ')
  } catch {
    return line
  }
}

/** The agent's last window goes out before the server that takes it ends. */
async function shutDown(
  server: ServerProcess,
  agent: AgentHandle | null,
  second: Promise<void>,
  context: CommandContext,
): Promise<void> {
  const orderly = (async () => {
    context.note('Stopping: the last window is stored ...')
    await agent?.stop()
    server.stop()
    await server.ended
  })()
  const forced = second.then(() => {
    server.kill()
    process.exit(exitCodes.failure)
  })
  await Promise.race([orderly, forced])
}

/** npm passes on a signal that the terminal has sent to the whole group: one press is one signal. */
function waitForSignal(): { first: Promise<void>; second: Promise<void> } {
  const first = Promise.withResolvers<void>()
  const second = Promise.withResolvers<void>()
  let firstAtMs = 0
  const onSignal = () => {
    if (firstAtMs === 0) {
      firstAtMs = performance.now()
      first.resolve()
    } else if (performance.now() - firstAtMs > 500) second.resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  return { first: first.promise, second: second.promise }
}

/** The Strobe server on a port of this host; null when none answers there. */
async function findRunning(
  port: string,
  ownDataDir: string,
): Promise<{ address: string; dataDir: string } | null> {
  if (port === '0') return null
  try {
    const url = new URL(`http://127.0.0.1:${port}/api/v1/status`)
    const token = readLocalToken(url, ownDataDir)
    const response = await fetch(url, {
      headers: token === '' ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(2000),
    })
    const status = (await response.json()) as { address?: unknown; dataDir?: unknown }
    return typeof status.address === 'string' && typeof status.dataDir === 'string'
      ? { address: status.address, dataDir: status.dataDir }
      : null
  } catch {
    return null
  }
}

/** What to type on the machine one sits at, when this one was reached over SSH; '' otherwise. */
export function describeTunnel(url: string, env: Record<string, string | undefined>): string {
  // SSH_CONNECTION: client address, client port, server address, server port.
  const [, , host, sshPort] = (env.SSH_CONNECTION ?? '').split(' ')
  if (!host) return ''
  const { port } = new URL(url)
  const portFlag = sshPort && sshPort !== '22' ? ` -p ${sshPort}` : ''
  const name = env.SUDO_USER || env.USER || userInfo().username
  return `  You are here over SSH. On your own machine run\n    ssh -N -L ${port}:localhost:${port}${portFlag} ${name}@${host}\n  and open ${url} there.\n`
}
