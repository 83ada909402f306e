import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WriteRequest } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import type { StoreClient } from '../server/src/storage/client.ts'
import { openStore, spawnServer } from '../test/server-process.ts'
import { residentBytes, treeCpuSeconds } from './processes.ts'

export interface BenchServer {
  url: string
  grpcAddress: string
  /** Straight to the engine, beside the server. */
  store: StoreClient
  /** Of the server and its engine, since their start. */
  cpuSeconds(): number
  /** Memory that each holds now. */
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

/** A server with an engine and a data folder of its own, on free ports. settings: as flags. */
export async function startBenchServer(settings: Record<string, string> = {}): Promise<BenchServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'strobe-bench-'))
  const server = spawnServer(dataDir, settings)
  const { url, grpcAddress } = await server.ready.catch((error: unknown) => {
    rmSync(dataDir, { recursive: true, force: true })
    throw error
  })
  const pid = server.child.pid!
  const ingest = connectIngest(grpcAddress)
  const store = openStore(dataDir, 300_000)
  return {
    url,
    grpcAddress,
    store,
    cpuSeconds: () => treeCpuSeconds(pid),
    residentBytes: () => ({ server: residentBytes(pid), engine: residentBytes(server.enginePid() ?? 0) }),
    async rows<Row extends unknown[]>(query: string) {
      const result = await store.query({ query, format: 'JSONCompactEachRow' })
      return (await result.json()) as unknown as Row[]
    },
    eventLoopDelayMs: server.eventLoopDelayMs,
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
      await server.stop()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
