import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'

export interface ServerProcess {
  child: ChildProcess
  /** Rejects when the process ends before it takes requests. */
  ready: Promise<{ url: string; grpcAddress: string }>
  /** Resolves when the process is gone, whatever ended it. */
  ended: Promise<void>
  /** Of the engine that it started; null before that, and in between two. */
  enginePid(): number | null
  /** 99th percentile of the event loop's delay since the last call, ms. */
  eventLoopDelayMs(): Promise<number>
  /** Ends the server, and with it its engine, as SIGTERM does. */
  stop(): Promise<void>
}

/** A server with its engine in a data folder, on free ports. settings: as flags. */
export function spawnServer(dataDir: string, settings: Record<string, string> = {}): ServerProcess {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./serve.ts', import.meta.url)), dataDir, JSON.stringify(settings)],
    { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] },
  )
  let errors = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-4000)
  })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const ready = Promise.race([
    nextMessage<{ url: string; grpcAddress: string }>(child),
    ended.then(() => {
      throw new Error(`the server ended before it was ready: ${errors}`)
    }),
  ])
  // Nobody may be waiting when it is killed at its start.
  ready.catch(() => {})
  return {
    child,
    ready,
    ended,
    enginePid: () => childrenOf(child.pid!)[0] ?? null,
    async eventLoopDelayMs() {
      const answer = nextMessage<{ delayMs: number }>(child)
      child.send('delay')
      return (await answer).delayMs
    },
    async stop() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

/** Straight to the engine of a data folder, beside its server. */
export function openStore(dataDir: string, requestTimeoutMs = 30_000): StoreClient {
  return createStoreClient(
    { kind: 'socket', socketPath: join(dataDir, 'engine', 'engine.sock') },
    { requestTimeoutMs },
  )
}

/** A process that ended and was not waited for by its new parent is not alive. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  } catch {
    return []
  }
}

async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message')
  return message as T
}
