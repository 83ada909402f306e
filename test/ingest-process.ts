import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { create } from '@bufbuild/protobuf'
import { encodePprof, type Profile } from '@strobe/profile'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import type { IngestSettings } from '../server/src/ingest/settings.ts'
import { createStoreClient, type StoreClient } from '../server/src/storage/client.ts'

export interface IngestProcess {
  child: ChildProcess
  grpcPort: number
  httpPort: number
  enginePid: number
  store: StoreClient
  /** Resolves with the signal or exit code. */
  ended: Promise<unknown>
}

/** sharedSocket: of an engine that others use too, '' for one of its own. signal: what the process sends itself after lastStep. */
export async function startIngestProcess(
  dataDir: string,
  lastStep = '',
  sharedSocket = '',
  signal = '',
  settings: Partial<IngestSettings> = {},
): Promise<IngestProcess> {
  const child = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('./ingest-server.ts', import.meta.url)),
      dataDir,
      lastStep,
      sharedSocket,
      signal,
      JSON.stringify(settings),
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-4000)
  })
  const ended = once(child, 'close')
  const line = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([text]) => String(text)),
    ended.then(() => {
      throw new Error(`the server ended before it was ready: ${errors}`)
    }),
  ])
  const { grpcPort, httpPort, socketPath, enginePid } = JSON.parse(line) as Record<string, number> & {
    socketPath: string
  }
  const store = createStoreClient({ kind: 'socket', socketPath }, { requestTimeoutMs: 30_000 })
  return { child, grpcPort: grpcPort!, httpPort: httpPort!, enginePid: enginePid!, store, ended }
}

export async function stopIngestProcess(
  server: IngestProcess,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  await server.store.close()
  if (server.child.exitCode === null && server.child.signalCode === null) server.child.kill(signal)
  await server.ended
}

export async function selectRows(store: StoreClient, query: string): Promise<unknown[]> {
  return (await store.query({ query, format: 'JSONCompactEachRow' })).json()
}

export const seriesPerBatch = 3

/**
 * Batch number n of an agent: three series of one shared body, the last one idle. Series s of the others has
 * the stacks `leaf s;main` with 1000 n + s and `main` with 1; so a batch sums to 2000 n + 3.
 */
export function makeBatch(n: number, nowMs = Date.now()): WriteRequest {
  const cpu = { type: 'cpu', unit: 'nanoseconds' }
  const value = (series: number) => BigInt(1000 * n + series)
  const profile: Profile = {
    sampleTypes: [cpu],
    defaultSampleType: '',
    periodType: cpu,
    period: 10_000_000n,
    timeNanos: BigInt(nowMs) * 1_000_000n,
    durationNanos: 10_000_000_000n,
    comments: [],
    mappings: [{ start: 0n, limit: 0n, offset: 0n, file: '/usr/bin/app', buildId: 'b1' }],
    functions: ['main', 'leaf 0', 'leaf 1'].map(name => ({
      name,
      systemName: name,
      file: 'app.c',
      startLine: 1,
    })),
    locationAddress: new BigUint64Array(3),
    locationMapping: new Int32Array(3),
    lineOffset: Uint32Array.of(0, 1, 2, 3),
    lineFunction: Int32Array.of(0, 1, 2),
    lineNumber: Uint32Array.of(1, 2, 3),
    stackOffset: Uint32Array.of(0, 2, 3, 5, 6),
    stackLocation: Uint32Array.of(1, 0, 0, 2, 0, 0),
    values: BigInt64Array.of(value(0), 1n, value(1), 1n),
    labelOffset: Uint32Array.of(0, 1, 2, 3, 4),
    labelKey: new Uint32Array(4),
    labelString: new Int32Array(4).fill(-1),
    labelNumber: BigInt64Array.of(0n, 0n, 1n, 1n),
    labelUnit: new Int32Array(4).fill(-1),
    labelStrings: ['strobe_series'],
  }
  return create(WriteRequestSchema, {
    batchId: Buffer.from(`batch ${n}`.padEnd(16, '.')),
    bodies: [
      {
        pprof: encodePprof(profile),
        series: Array.from({ length: seriesPerBatch }, (_, series) => ({
          labels: [
            { name: 'host_name', value: `host-${n}` },
            { name: 'process', value: `p${series}` },
            { name: 'service_name', value: 'api' },
          ],
          profileName: 'process_cpu',
          sampleTypeIndex: 0,
          timeUnixNanos: profile.timeNanos,
          durationNanos: profile.durationNanos,
          period: profile.period,
        })),
      },
    ],
  })
}
