import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CodedError, type ErrorCode, serverErrors } from '../errors.ts'
import type { ChildMessage, ChildSettings } from './child.ts'
import type { EngineAddress, EngineSettings } from './settings.ts'

export interface EngineLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface EngineState {
  isReady: boolean
  /** Why it is not, '' when it is. */
  reason: string
  restarts: number
  /** 0 without a child. */
  pid: number
}

export interface Engine {
  address: EngineAddress
  /** Port of settings.listen; 0 without one. */
  listenPort(): number
  state(): EngineState
  /** Ends the child after the statements that run, at most graceMs; again is harmless. */
  stop(graceMs?: number): Promise<void>
}

export interface EngineOptions {
  /** Counts each crash that was answered by a restart. */
  onRestart?: () => void
}

// sun_path has 108 bytes; a data folder may lie deeper.
const maxSocketPathBytes = 100

function chooseSocket(dataDir: string): { path: string; temporaryDir: string } {
  const path = join(dataDir, 'engine.sock')
  if (Buffer.byteLength(path) <= maxSocketPathBytes) return { path, temporaryDir: '' }
  const temporaryDir = mkdtempSync(join(tmpdir(), 'strobe-'))
  return { path: join(temporaryDir, 'engine.sock'), temporaryDir }
}

/** ' (pid N)' of the engine that holds the folder, '' when it does not say. */
function holder(dataDir: string): string {
  try {
    const pid = /^PID: (\d+)/m.exec(readFileSync(join(dataDir, 'store', 'status'), 'utf8'))?.[1]
    return pid ? ` (pid ${pid})` : ''
  } catch {
    return ''
  }
}

/**
 * Starts the embedded engine and resolves when it answers; starts it again after a crash.
 * Throws ENGINE_LOCKED, ENGINE_MISSING or ENGINE_FAILED when the first start fails.
 */
export async function startEngine(
  settings: EngineSettings,
  log: EngineLog,
  options: EngineOptions = {},
): Promise<Engine> {
  const dataDir = resolve(settings.dataDir)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const socket = chooseSocket(dataDir)
  const childSettings: ChildSettings = { ...settings, dataDir, socketPath: socket.path }
  const state: EngineState = { isReady: false, reason: 'the engine is starting', restarts: 0, pid: 0 }
  let child: ChildProcess | null = null
  let listenPort = 0
  let isStopping = false
  let backOffMs = 100
  let timer: NodeJS.Timeout | null = null

  const launch = (): Promise<void> =>
    new Promise((ready, failed) => {
      const { NODE_OPTIONS: _options, ...environment } = process.env
      const started = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), [], {
        env: {
          ...environment,
          STROBE_ENGINE_CHILD: JSON.stringify(childSettings),
          // Every running statement holds a thread; file bodies and answers need some too.
          UV_THREADPOOL_SIZE: String(settings.queryConnections + settings.insertConnections + 5),
        },
        execArgv: ['--disable-warning=ExperimentalWarning', '--title=strobe-engine'],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      })
      child = started
      state.pid = started.pid ?? 0
      let failure: CodedError | null = null
      let lastError = ''
      started.stdout?.on('data', (chunk: Buffer) =>
        log.info({ engine: chunk.toString().trim() }, 'engine output'),
      )
      started.stderr?.on('data', (chunk: Buffer) => {
        const text = chunk.toString().trim()
        lastError = `${lastError}\n${text}`.trim().slice(-2000)
        log.warn({ engine: text }, 'engine output')
      })
      started.on('message', (message: ChildMessage) => {
        if (message.type === 'ready') {
          state.isReady = true
          listenPort = message.listenPort
          state.reason = ''
          log.info({ startMs: message.startMs, pid: started.pid }, 'engine ready')
          ready()
        } else {
          const code = message.code in serverErrors ? (message.code as ErrorCode) : 'ENGINE_FAILED'
          failure = new CodedError(code, message.message)
        }
      })
      started.on('error', cause => {
        failure = new CodedError(
          'ENGINE_FAILED',
          `the engine's process did not start: ${cause.message}`,
          {},
          { cause },
        )
      })
      started.once('close', (exitCode, signal) => {
        const wasReady = state.isReady
        state.isReady = false
        state.pid = 0
        child = null
        const why = signal ? `signal ${signal}` : `exit code ${exitCode}`
        // The library says only to stderr why it could not open.
        const error = /Cannot lock file/.test(lastError)
          ? new CodedError(
              'ENGINE_LOCKED',
              `the data folder ${dataDir} is in use by another process${holder(dataDir)}; stop that one, or choose another folder with --data`,
              {},
              { cause: failure },
            )
          : (failure ??
            new CodedError('ENGINE_FAILED', `the engine ended by ${why}${lastError && `: ${lastError}`}`))
        state.reason = error.message
        if (!wasReady) failed(error)
        if (isStopping || !wasReady) return
        restart(why)
      })
    })

  const restart = (why: string) => {
    state.restarts += 1
    options.onRestart?.()
    log.error({ why, restarts: state.restarts, backOffMs }, 'engine ended, starting it again')
    timer = setTimeout(() => {
      launch().then(
        () => {
          // Only an engine that stays up forgives the earlier crashes.
          timer = setTimeout(() => {
            backOffMs = 100
          }, 60_000)
          timer.unref()
        },
        (error: CodedError) => {
          if (!isStopping) restart(error.message)
        },
      )
    }, backOffMs)
    backOffMs = Math.min(backOffMs * 2, 30_000)
  }

  const cleanUp = () => {
    rmSync(socket.path, { force: true })
    if (socket.temporaryDir !== '') rmSync(dirname(socket.path), { recursive: true, force: true })
  }

  const lockedUntil = performance.now() + settings.lockWaitMs
  for (;;) {
    try {
      await launch()
      break
    } catch (error) {
      if ((error as CodedError).code === 'ENGINE_LOCKED' && performance.now() < lockedUntil) {
        await sleep(100)
        continue
      }
      if (socket.temporaryDir !== '') cleanUp()
      throw error
    }
  }

  return {
    address: { kind: 'socket', socketPath: socket.path },
    listenPort: () => listenPort,
    state: () => ({ ...state }),
    async stop(graceMs = 10_000) {
      isStopping = true
      state.reason = 'the engine was stopped'
      if (timer) clearTimeout(timer)
      const running = child
      if (running && running.exitCode === null && running.signalCode === null) {
        await new Promise<void>(ended => {
          const killer = setTimeout(() => running.kill('SIGKILL'), graceMs + 5_000)
          running.once('close', () => {
            clearTimeout(killer)
            ended()
          })
          if (running.connected) running.send({ type: 'stop', graceMs })
          else running.kill('SIGKILL')
        })
      }
      cleanUp()
    },
  }
}
