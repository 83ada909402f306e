import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { WriteRequest } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'
import { children, residentBytes, treeCpuSeconds } from './processes.ts'

export interface BenchServer {
  url: string
  /** Straight to the engine, beside the server. */
  store: StoreClient
  /** Of the server and its engine, since their start. */
  cpuSeconds(): number
  /** Memory that both hold now. */
  residentBytes(): { server: number; engine: number }
  /** Of a statement straight to the engine. */
  rows<Row extends unknown[]>(query: string): Promise<Row[]>
  /** 99th percentile of the server's event loop delay since the last call, ms. */
  eventLoopDelayMs(): Promise<number>
  /** Resolves when all are durable; `parallel` requests are on their way at a time. */
  write(requests: Iterable<WriteRequest>, parallel: number): Promise<void>
  /** Ends both processes and removes what they stored. */
  stop(): Promise<void>
}

/** A server with an engine and a data folder of its own, on free ports. */
export async function startBenchServer(): Promise<BenchServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'strobe-bench-'))
  const child = spawn(process.execPath, [fileURLToPath(new URL('./serve.ts', import.meta.url)), dataDir], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const { url, grpcAddress } = await Promise.race([
    nextMessage<{ url: string; grpcAddress: string }>(child),
    ended.then(() => {
      rmSync(dataDir, { recursive: true, force: true })
      throw new Error('the server ended before it was ready')
    }),
  ])
  const ingest = connectIngest(grpcAddress)
  const store = createStoreClient(
    { kind: 'socket', socketPath: join(dataDir, 'engine', 'engine.sock') },
    { requestTimeoutMs: 300_000 },
  )
  return {
    url,
    store,
    cpuSeconds: () => treeCpuSeconds(child.pid!),
    residentBytes: () => ({
      server: residentBytes(child.pid!),
      engine: children(child.pid!).reduce((sum, pid) => sum + residentBytes(pid), 0),
    }),
    async rows<Row extends unknown[]>(query: string) {
      const result = await store.query({ query, format: 'JSONCompactEachRow' })
      return (await result.json()) as unknown as Row[]
    },
    async eventLoopDelayMs() {
      const answer = nextMessage<{ delayMs: number }>(child)
      child.send('delay')
      return (await answer).delayMs
    },
    async write(requests, parallel) {
      const iterator = requests[Symbol.iterator]()
      const send = async () => {
        for (let next = iterator.next(); !next.done; next = iterator.next()) await ingest.write(next.value)
      }
      await Promise.all(Array.from({ length: parallel }, send))
    },
    async stop() {
      ingest.close()
      await store.close()
      if (child.connected) child.disconnect()
      await ended
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message')
  return message as T
}
