import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { fromBinary } from '@bufbuild/protobuf'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { type AgentConfig, agentOptions } from './config.ts'
import type { ControlMessage } from './control.ts'
import { AgentError } from './errors.ts'
import { describeFailedChecks, type HostCheckReport, launcherPath, runHostCheck } from './host-check.ts'
import { type EndMessage, PipeDecoder, pipeMessageType, type ReadyMessage } from './ship/pipe-protocol.ts'
import { readAgentToken } from './token.ts'

export interface StartAgentOptions {
  /** What differs from the defaults and from STROBE_* variables. */
  config: Partial<AgentConfig>
  /** How a user who is not root gets the launcher its rights: not at all, by sudo if it asks nothing, by sudo. */
  elevate: 'never' | 'quietly' | 'ask'
  /** Where BPF may not load: run on to tell the server so (true), or fail (false). */
  reportsWithoutProfiling: boolean
  /** Windows, when config.output is 'pipe'. */
  onBatch?: (batch: WriteRequest) => void
  /** The key for the server, '' for none; asked again every 30 s. When absent: of config.tokenFile or the environment. */
  readToken?: () => string
  /** Lines of the agent's log. */
  onLog: (line: string) => void
}

export interface AgentEnd {
  /** Exit code; null when a signal ended it. */
  code: number | null
  /** null when the agent ended without saying so. */
  counters: Record<string, number> | null
}

/** A running agent. It ends with the process that started it, whatever that one dies of. */
export interface AgentHandle {
  /** Resolves when samples are taken, or never will be; rejects with LAUNCH_FAILED or LAUNCHER_MISSING. */
  ready: Promise<ReadyMessage>
  /** Resolves when the agent is gone, whatever happened. */
  ended: Promise<AgentEnd>
  readonly hasEnded: boolean
  /** Profile this process and its descendants only. */
  setTarget(pid: number): void
  /** Ends the agent: the last window is sent before it goes. May be called again. */
  stop(): Promise<AgentEnd>
}

/** How soon a new key in the same file is used. */
const tokenPollMs = 30_000

const mainPath = fileURLToPath(new URL('./main.ts', import.meta.url))
const nobody = 65534
const logTailBytes = 4096

/** Starts the agent of this host through the launcher, which drops privileges before Node runs. */
export function startAgent(options: StartAgentOptions): AgentHandle {
  let current: AgentProcess | null = null
  let isStopping = false
  let hasEnded = false
  const started = launch(options, process => {
    current = process
    if (isStopping) process.stop()
  })
  const tokens = setInterval(() => current?.sendToken(), tokenPollMs)
  tokens.unref()
  const ready = started.then(({ message }) => message)
  // Also told by `ended`; a caller that only waits for that must not die of an unhandled rejection.
  ready.catch(() => {})
  const ended = started.then(
    ({ agent }) => agent.ended,
    (): AgentEnd => ({ code: 1, counters: null }),
  )
  ended.then(() => {
    hasEnded = true
    clearInterval(tokens)
  })
  return {
    ready,
    ended,
    get hasEnded() {
      return hasEnded
    },
    setTarget: pid => current?.send({ target: pid }),
    stop: () => {
      isStopping = true
      current?.stop()
      return ended
    },
  }
}

interface Started {
  agent: AgentProcess
  message: ReadyMessage
}

async function launch(
  options: StartAgentOptions,
  onProcess: (agent: AgentProcess) => void,
): Promise<Started> {
  if (!options.reportsWithoutProfiling && !existsSync(launcherPath))
    throw new AgentError(
      'LAUNCHER_MISSING',
      `${launcherPath} is not built; run npm run setup, which says what it needs`,
    )
  const prefix = elevation(options.elevate)
  const config = { ...options.config, isAttached: true }
  const flags = formatFlags(config)
  const uid = agentUid()
  let report: HostCheckReport | null = null
  if (config.output !== 'pipe') {
    report = await runHostCheck(prefix)
    // No sudo, or one that asks where nobody answers: what this user lacks says more than sudo's refusal.
    if (!report.ok && prefix.length > 0 && !report.isAnswer) report = await runHostCheck()
    prepareSpool(config.spoolDir, report.ok ? uid : null)
  }

  if (config.debuginfodUrls ?? process.env.STROBE_DEBUGINFOD_URLS) prepareDebugDir(config.debugDir, uid)

  let reason = report ? describeFailedChecks(report) : ''
  if (!reason) {
    const env = report ? ['env', `STROBE_CHECKS=${JSON.stringify(report.items)}`] : []
    const launcher = [launcherPath, '--die-with-parent', '--uid', String(uid)]
    launcher.push('--period-ns', String(Math.round(1e9 / (config.rateHz ?? defaultOf('rateHz')))))
    if (config.kernelStacks === false) launcher.push('--no-kernel-stacks')
    // A young generation of 1 MiB: windows are short-lived garbage, and memory is the agent's budget.
    launcher.push(
      '--',
      process.execPath,
      '--title=strobe-agent',
      '--max-semi-space-size=1',
      mainPath,
      ...flags,
    )
    const agent = new AgentProcess([...prefix, ...env, ...launcher], process.env, options)
    onProcess(agent)
    try {
      return { agent, message: await agent.ready }
    } catch (error) {
      if (!options.reportsWithoutProfiling) throw error
      reason = (error as Error).message
    }
  }
  if (!options.reportsWithoutProfiling)
    throw new AgentError('LAUNCH_FAILED', `this host cannot be profiled: ${reason}`)
  const env = {
    ...process.env,
    STROBE_CANNOT_PROFILE: reason,
    STROBE_CHECKS: JSON.stringify(report?.items ?? []),
  }
  const agent = new AgentProcess([process.execPath, mainPath, ...flags], env, options)
  onProcess(agent)
  return { agent, message: await agent.ready }
}

class AgentProcess {
  readonly ready: Promise<ReadyMessage>
  readonly ended: Promise<AgentEnd>
  readonly #child: ChildProcess
  readonly #options: StartAgentOptions
  #token = ''
  #logTail = ''

  constructor(command: string[], env: NodeJS.ProcessEnv, options: StartAgentOptions) {
    const child = spawn(command[0]!, command.slice(1), { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    this.#options = options
    // A write to an agent that just ended: its end is told by `ended`.
    child.stdin!.on('error', () => {})
    this.#readLog(child, options.onLog)
    this.sendToken()

    let end: EndMessage | null = null
    const decoder = new PipeDecoder()
    const readyMessage = Promise.withResolvers<ReadyMessage>()
    this.ready = readyMessage.promise
    this.ready.catch(() => {})
    child.stdout!.on('data', (chunk: Buffer) => {
      try {
        for (const { type, payload } of decoder.push(chunk)) {
          if (type === pipeMessageType.ready) readyMessage.resolve(parseJson(payload))
          else if (type === pipeMessageType.batch) options.onBatch?.(fromBinary(WriteRequestSchema, payload))
          else if (type === pipeMessageType.end) end = parseJson(payload)
        }
      } catch (error) {
        options.onLog(`the agent's output cannot be read, ending it: ${(error as Error).message}`)
        child.stdout!.destroy()
        this.stop()
      }
    })
    this.ended = new Promise(resolve => {
      const finish = (code: number | null, why: string) => {
        readyMessage.reject(
          new AgentError('LAUNCH_FAILED', `the agent did not start: ${this.#logTail.trim() || why}`),
        )
        resolve({ code, counters: end?.counters ?? null })
      }
      child.on('error', error => finish(null, error.message))
      child.on('close', (code, signal) => finish(code, signal ? `ended by ${signal}` : `exit code ${code}`))
    })
  }

  send(message: ControlMessage): void {
    if (this.#child.stdin!.writable) this.#child.stdin!.write(`${JSON.stringify(message)}\n`)
  }

  /** Hands the key on when it is another than before. */
  sendToken(): void {
    const { config, readToken, onLog } = this.#options
    try {
      const file = config.tokenFile ?? process.env.STROBE_TOKEN_FILE ?? ''
      const token = readToken ? readToken() : readAgentToken(file, process.env)
      if (token === this.#token) return
      this.#token = token
      this.send({ token })
    } catch (error) {
      onLog((error as Error).message)
    }
  }

  stop(): void {
    this.#child.stdin!.end()
  }

  #readLog(child: ChildProcess, onLog: (line: string) => void): void {
    let rest = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#logTail = (this.#logTail + text).slice(-logTailBytes)
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLog(line)
    })
    child.stderr!.on('end', () => rest && onLog(rest))
  }
}

function elevation(elevate: StartAgentOptions['elevate']): string[] {
  if (elevate === 'never' || process.getuid?.() === 0) return []
  return elevate === 'ask' ? ['sudo', '--'] : ['sudo', '-n', '--']
}

/** Who the agent runs as: the user behind sudo or the caller, never root. */
function agentUid(): number {
  const uid = process.getuid?.() ?? nobody
  if (uid !== 0) return uid
  const behindSudo = Number(process.env.SUDO_UID)
  return Number.isInteger(behindSudo) && behindSudo > 0 ? behindSudo : nobody
}

/** The agent writes its spool itself, so the folder must be its own. uid: null leaves the owner. */
function prepareSpool(folder: string | undefined, uid: number | null): void {
  const spoolDir = folder ?? String(process.env.STROBE_SPOOL_DIR ?? defaultOf('spoolDir'))
  try {
    makeFolderOf(spoolDir, uid)
  } catch (error) {
    throw new AgentError(
      'SPOOL_UNUSABLE',
      `the folder ${spoolDir} for batches that wait for the server cannot be made (${(error as Error).message}); name another with --spool-dir or STROBE_SPOOL_DIR`,
      error,
    )
  }
}

/** Without the folder the agent counts each debug file that it cannot keep; it profiles all the same. */
function prepareDebugDir(folder: string | undefined, uid: number): void {
  try {
    makeFolderOf(folder ?? String(process.env.STROBE_DEBUG_DIR ?? defaultOf('debugDir')), uid)
  } catch {}
}

/** uid: null leaves the owner. */
function makeFolderOf(folder: string, uid: number | null): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (uid !== null && process.getuid?.() === 0) chownSync(folder, uid, nobody)
}

function defaultOf<K extends keyof AgentConfig>(key: K): AgentConfig[K] {
  return agentOptions.find(option => option.key === key)!.default as AgentConfig[K]
}

function formatFlags(config: Partial<AgentConfig>): string[] {
  return agentOptions.flatMap(option => {
    const value = config[option.key]
    if (value === undefined) return []
    if (option.type === 'boolean') return [value ? `--${option.flag}` : `--no-${option.flag}`]
    return [`--${option.flag}=${value}`]
  })
}

function parseJson<T>(payload: Uint8Array): T {
  return JSON.parse(Buffer.from(payload).toString()) as T
}
