/**
 * Engine, store and ingest as a process of their own, for tests that end it at a chosen moment.
 * Prints one line of JSON with its ports when it takes profiles.
 * argv: data folder; the step of a group after which the process kills itself, or ''; the socket of an engine
 * that it shares with others, or '' for one of its own; the signal, if not SIGKILL; settings of ingest as JSON.
 */
import { createServer } from 'node:http'
import { defaultEngineSettings } from '../server/src/engine/settings.ts'
import { startEngine } from '../server/src/engine/supervisor.ts'
import { toCodedError } from '../server/src/errors.ts'
import { createDecodePool } from '../server/src/ingest/decode-pool.ts'
import { createIngest } from '../server/src/ingest/pipeline.ts'
import { defaultIngestSettings, type IngestSettings } from '../server/src/ingest/settings.ts'
import { createGrpcServer, listenGrpc } from '../server/src/ingest/strobe/handler.ts'
import { receiveUpload } from '../server/src/ingest/upload/handler.ts'
import { createServerMetrics } from '../server/src/metrics.ts'
import { createStoreClient } from '../server/src/storage/client.ts'
import { Journal } from '../server/src/storage/journal.ts'
import { migrate } from '../server/src/storage/migrate.ts'
import { readServerId, ServerRegistry } from '../server/src/storage/server-registry.ts'
import { defaultStorageSettings } from '../server/src/storage/settings.ts'
import { Store } from '../server/src/storage/store.ts'
import { writeAgents } from '../server/src/storage/write-agents.ts'

const dataDir = process.argv[2]!
const lastStep = process.argv[3] ?? ''
const sharedSocket = process.argv[4] ?? ''
const signal = process.argv[5] || 'SIGKILL'
const settings = JSON.parse(process.argv[6] ?? '{}') as Partial<IngestSettings>
let hasSignalled = false
const log = {
  info() {},
  warn: (facts: object, message: string) => console.error(message, JSON.stringify(facts)),
  error: (facts: object, message: string) => console.error(message, JSON.stringify(facts)),
}
const engine =
  sharedSocket === ''
    ? await startEngine({ ...defaultEngineSettings(`${dataDir}/engine`), memoryBytes: 1_000_000_000 }, log)
    : null
const socketPath = engine?.address.socketPath ?? sharedSocket
const storage = { ...defaultStorageSettings(), retryMinMs: 20, retryMaxMs: 200 }
const client = createStoreClient(
  { kind: 'socket', socketPath },
  { requestTimeoutMs: storage.requestTimeoutMs },
)
await migrate(client)
const leaseMs = 500
const serverId = await readServerId(dataDir)
const registry = new ServerRegistry(client, {
  serverId,
  host: 'test',
  address: '',
  version: '',
  startedAtMs: Date.now(),
})
const earlierLife =
  sharedSocket === '' ? '' : await registry.start(leaseMs / 5, error => log.warn({ error }, 'sign'))
const store = new Store({
  client,
  journal: new Journal(`${dataDir}/journal`),
  settings: storage,
  log,
  now: Date.now,
  metrics: {
    insertedRows() {},
    insertRetried() {},
    groupReplayed() {},
    insertSeconds() {},
    contested() {},
    fenced() {},
  },
  shared: sharedSocket === '' ? null : { serverId, earlierLife, leaseMs },
  onStep(step) {
    if (step !== lastStep || hasSignalled) return
    hasSignalled = true
    process.kill(process.pid, signal)
  },
})
await store.replay()
const decoding = createDecodePool({
  workers: 1,
  heapBytes: 256 * 2 ** 20,
  seenIds: store.seenIdsBuffer,
  onDeath: reason => log.error({ reason }, 'a decoder died'),
})
const metrics = createServerMetrics()
const ingest = createIngest({
  store,
  decode: decoding.decode,
  writeAgents: (tenant, agents) => writeAgents(client, tenant, agents),
  settings: { ...defaultIngestSettings(), groupWaitMs: 20, groupProfiles: 20, ...settings },
  metrics,
})
const grpc = createGrpcServer(ingest)
const grpcPort = await listenGrpc(grpc, '127.0.0.1', 0)
const http = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://localhost')
  if (pathname === '/metrics') {
    void metrics.registry.metrics().then(text => response.end(text))
    return
  }
  receiveUpload(ingest, request, searchParams, {
    tenant: 'default',
    receivedAtMs: Date.now(),
    idempotencyKey: String(request.headers['idempotency-key'] ?? ''),
  }).then(
    answer => response.end(JSON.stringify(answer)),
    (error: unknown) => {
      const { status, code, message, details } = toCodedError(error)
      response.statusCode = status
      response.end(JSON.stringify({ code, message, details }))
    },
  )
})
await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
const httpPort = (http.address() as { port: number }).port
console.log(JSON.stringify({ grpcPort, httpPort, socketPath, enginePid: engine?.state().pid ?? 0 }))

process.once('SIGTERM', () => {
  grpc.forceShutdown()
  http.close()
  registry.stop()
  void ingest
    .stop(5_000)
    .then(() => decoding.close())
    .then(() => client.close())
    .then(() => engine?.stop())
    .then(() => process.exit(0))
})
