import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import pino, { type Logger } from 'pino'
import { createApp } from './api/app.ts'
import { createRequestMetrics } from './api/request-metrics.ts'
import { checkAccess } from './auth/access.ts'
import { createAuthenticator } from './auth/authenticator.ts'
import { removeLocalToken, writeLocalToken } from './auth/local-token.ts'
import { securityHeaders } from './auth/request-guard.ts'
import { isLoopback, type ServerConfig } from './config.ts'
import { lockDataDir } from './data-lock.ts'
import { releaseReserve } from './disk-reserve.ts'
import { CodedError } from './errors.ts'
import { createDecodePool } from './ingest/decode-pool.ts'
import { createIngest } from './ingest/pipeline.ts'
import { defaultIngestSettings } from './ingest/settings.ts'
import { createGrpcServer } from './ingest/strobe/handler.ts'
import { receiveUpload } from './ingest/upload/handler.ts'
import { describeDisk, startLife } from './life.ts'
import { createServerMetrics, type ServerMetrics } from './metrics.ts'
import { openStore } from './open-store.ts'
import { findPortHolder } from './port-holder.ts'
import { createQuerySide } from './query-side.ts'
import { Backups } from './storage/backup/backups.ts'
import { cleanBackups } from './storage/backup/create-backup.ts'
import { createStoreClient, type StoreClient } from './storage/client.ts'
import { deleteAllData, renewEpoch } from './storage/delete-data.ts'
import { Journal } from './storage/journal.ts'
import { KeyStore } from './storage/keys.ts'
import { LevelJob, type LevelMetrics } from './storage/levels/job.ts'
import { defaultLevelSettings } from './storage/levels/settings.ts'
import { TenantDeleter } from './storage/life/delete-tenant.ts'
import { migrate } from './storage/migrate.ts'
import { readServerId, ServerRegistry } from './storage/server-registry.ts'
import { defaultStorageSettings } from './storage/settings.ts'
import { type SharedStore, Store, type StoreMetrics } from './storage/store.ts'
import { TenantStore } from './storage/tenants.ts'
import { writeAgents } from './storage/write-agents.ts'
import { groupLabelsSince } from './tenant-groups.ts'
import { groupSetting } from './tenant-settings.ts'

export interface RunningServer {
  /** Base of the page and the API, with a slash at the end. */
  url: string
  port: number
  /** host:port for agents. */
  grpcAddress: string
  /** Stores what waits, then ends everything; again is harmless. */
  stop(): Promise<void>
}

export interface RunOptions {
  log?: Logger
  /** Directory of the built page. */
  uiDir?: string
  /** Unix ms; Date.now when absent. */
  now?: () => number
}

/** How soon keys and settings that another server wrote hold here. */
const tenantRefreshMs = 5_000
// An hour of the largest service, summed beside everything else.
const levelTimeoutMs = 900_000

/**
 * Starts everything and resolves when profiles and queries are answered.
 * Throws PORT_TAKEN, ENGINE_*, STORE_*; nothing is left running then.
 */
export async function runServer(config: ServerConfig, options: RunOptions = {}): Promise<RunningServer> {
  const log = options.log ?? pino({ level: config.logLevel }, pino.destination(2))
  const version = readVersion()
  const now = options.now ?? Date.now
  const startedAt = now()
  const metrics = createServerMetrics()
  const requestMetrics = createRequestMetrics(metrics.registry)
  const closers: (() => Promise<void>)[] = []
  let isStopping = false
  let stopping: Promise<void> | null = null
  const stop = () => {
    isStopping = true
    requestMetrics.ready.set(0)
    stopping ??= closeAll(closers, log)
    return stopping
  }

  try {
    // The port comes first: a taken one is told before an engine starts, and probes get an answer meanwhile.
    let handle: (request: IncomingMessage, response: ServerResponse) => void = answerStarting
    const http = createServer((request, response) => handle(request, response))
    const port = await listen(http, config.listen, config.port, '--port')
    closers.unshift(() => closeHttp(http, config.shutdownTimeoutMs))

    await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
    await releaseReserve(config.dataDir)
    // Closers run first to last: HTTP and gRPC stop taking, ingest stores what waits, the engine ends.
    const backend = await openStore(config, log, () => metrics.engineRestarts.inc())
    closers.push(() => backend.stop())
    // The embedded engine locks the folder by itself.
    if (config.clickhouseUrl !== '') closers.push(await lockDataDir(config.dataDir))
    const storage = defaultStorageSettings()
    const writer = createStoreClient(backend.address, { requestTimeoutMs: storage.requestTimeoutMs })
    const queryClient = createStoreClient(backend.address, {
      requestTimeoutMs: config.queryTimeoutMs + 5_000,
    })
    closers.splice(1, 0, async () => {
      await writer.close()
      await queryClient.close()
    })
    await migrate(writer)
    const polling = {
      refreshMs: tenantRefreshMs,
      onFailure: (error: unknown) =>
        log.warn({ err: error }, 'keys and settings of tenants could not be read; the last ones hold'),
    }
    const keys = new KeyStore(writer, polling)
    const tenants = new TenantStore(writer, polling)
    closers.splice(1, 0, async () => {
      keys.stop()
      tenants.stop()
      await removeLocalToken(config.dataDir)
    })
    await Promise.all([keys.start(), tenants.start()])
    const authenticate = createAuthenticator({
      keys,
      isOpenWithoutKeys: isLoopback(config.listen) || config.insecure,
      localToken: await writeLocalToken(config.dataDir, port),
    })

    const shared = backend.isShared
      ? await joinServers(writer, config, { version, startedAtMs: startedAt, port }, log, closers)
      : null
    const store = new Store({
      client: writer,
      journal: new Journal(join(config.dataDir, 'journal')),
      settings: storage,
      log,
      metrics: storeMetrics(metrics),
      now,
      shared,
    })
    await store.replay()
    const levelClient = createStoreClient(backend.address, { requestTimeoutMs: levelTimeoutMs })
    const levelSettings = {
      ...defaultLevelSettings(),
      intervalMs: config.levelIntervalMs,
      closeDelayMs: config.levelDelayMs,
      settleMs: config.levelDelayMs / 2,
    }
    const levels = new LevelJob({
      client: levelClient,
      settings: levelSettings,
      log,
      metrics: levelMetrics(metrics),
      now,
    })
    closers.splice(1, 0, async () => {
      await levels.stop()
      await levelClient.close()
    })
    if (config.levels) levels.start()
    const backups = new Backups({
      client: writer,
      hold: work => levels.pause(() => store.hold(work)),
      folder: config.backups,
      version,
      now,
      isLocal: config.clickhouseUrl === '',
      onEnd: (outcome, { folder, bytes, reason }) => {
        metrics.backups.inc({ outcome })
        if (outcome === 'done') log.info({ folder, bytes }, 'a backup was made')
        else log.error({ folder, reason }, 'a backup failed')
      },
    })
    if (config.clickhouseUrl === '') await cleanBackups(writer, config.backups)
    closers.splice(1, 0, () => backups.stop())
    const defaults = defaultIngestSettings()
    const ingestSettings = {
      ...defaults,
      // Two weeks of demo data take a while to arrive.
      ...(config.demo ? { windowPastMs: defaults.windowPastMs + 86_400_000 } : {}),
    }
    const decoding = createDecodePool({
      workers: config.decodeWorkers || Math.max(1, Math.floor(availableParallelism() / 2)),
      heapBytes: ingestSettings.decodeHeapBytes,
      seenIds: store.seenIdsBuffer,
      onDeath: reason => {
        metrics.decoderDeaths.inc({ reason })
        log.error({ reason }, 'a thread ended over a request that it decoded')
      },
    })
    closers.splice(1, 0, () => decoding.close())
    const deletions = new TenantDeleter({
      client: writer,
      async revokeKeys(tenant) {
        for (const key of keys.all())
          if (key.tenant === tenant && key.revokedAtMs === 0) await keys.write({ ...key, revokedAtMs: now() })
      },
      renewEpoch: () => store.empty(() => renewEpoch(writer)),
      settleMs: 2 * tenantRefreshMs,
      now,
      log,
    })
    await deletions.resume()
    closers.splice(1, 0, () => deletions.stop())
    const life = await startLife({
      client: writer,
      config,
      tenants,
      windowPastMs: ingestSettings.windowPastMs,
      now,
      log,
      metrics,
    })
    closers.splice(1, 0, () => life.stop())
    const ingest = createIngest({
      store,
      decode: decoding.decode,
      writeAgents: (ofTenant, agents) => writeAgents(writer, ofTenant, agents),
      valuesOf: ofTenant => tenants.settings(ofTenant),
      checkDisk: () => life.guard.checkRoom(),
      settings: {
        ...ingestSettings,
        limits: {
          ...ingestSettings.limits,
          maxBodyBytes: config.maxUploadBytes,
          maxUnpackedBytes: config.maxUnpackedBytes,
        },
      },
      metrics,
    })
    closers.splice(1, 0, () => ingest.stop(config.shutdownTimeoutMs))
    const grpc = createGrpcServer(ingest, {
      now,
      async tenantOf(authorization) {
        const principal = await authenticate(authorization)
        checkAccess(principal, 'ingest')
        return principal.tenant
      },
    })
    const grpcPort = await bindGrpc(grpc, config.listen, config.grpcPort)
    closers.splice(1, 0, () => closeGrpc(grpc, config.shutdownTimeoutMs))

    const querySide = createQuerySide({
      client: queryClient,
      config,
      metrics: requestMetrics,
      log,
      now,
      levels: levelSettings,
      keptFrom: life.keptFrom,
      groupLabels: (ofTenant, from) => groupLabelsSince(tenants.past(ofTenant, groupSetting), from * 1000),
      valuesOf: ofTenant => tenants.settings(ofTenant),
    })
    closers.splice(1, 0, () => querySide.stop())
    const notReady = (): string | null => {
      if (isStopping) return 'the server is stopping'
      const state = backend.state()
      return (state.isReady ? ingest.notReadyReason() : state.reason) || null
    }
    // By address: a minimal host has no localhost in its /etc/hosts.
    const host = reachableHost(config.listen)
    const url = `http://${host}:${port}/`
    handle = createApp({
      context: {
        queries: querySide.context,
        push: (request, search, ofTenant) =>
          receiveUpload(ingest, request, search, {
            tenant: ofTenant,
            receivedAtMs: now(),
            idempotencyKey: request.get('idempotency-key') ?? '',
          }),
        deleteData: () => store.empty(() => levels.pause(() => deleteAllData(writer))),
        admin: { tenants, keys, backups, deletions },
        status() {
          const reason = notReady()
          return {
            version,
            demo: config.demo,
            startedAt,
            store: reason === null ? { ready: true } : { ready: false, reason },
            disk: describeDisk(life.guard.state),
            address: url,
            dataDir: config.dataDir,
          }
        },
      },
      version,
      authenticate,
      guard: { allowedHosts: config.allowedHosts, isAnyAddressAllowed: !isLoopback(config.listen) },
      uiDir: options.uiDir ?? fileURLToPath(new URL('../../ui/dist', import.meta.url)),
      notReady,
      metrics: async () => {
        requestMetrics.ready.set(notReady() === null ? 1 : 0)
        const { freeBytes, storeBytes, state } = life.guard.state
        metrics.diskFreeBytes.set(freeBytes)
        metrics.storeBytes.set(storeBytes)
        metrics.writesRefused.set(state === 'refusing' ? 1 : 0)
        return { contentType: metrics.registry.contentType, text: await metrics.registry.metrics() }
      },
      observe: (route, method, status, elapsedMs) =>
        requestMetrics.requestSeconds.observe({ route, method, status: String(status) }, elapsedMs / 1000),
      logFailure: (error, request) =>
        log.error({ err: error, method: request.method, path: request.path }, 'a request failed'),
    })
    log.info({ url, grpcPort, dataDir: config.dataDir }, 'ready')
    if (!isLoopback(config.listen) && !config.insecure && !keys.hasKeys)
      log.warn(
        { dataDir: config.dataDir },
        'every request needs a key and there is none yet; on this machine, strobe admin keys create --role admin makes the first',
      )
    return { url, port, grpcAddress: `${host}:${grpcPort}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * Runs until SIGINT or SIGTERM, then stops once; a second signal ends the process at once. Returns the
 * exit code.
 */
export async function serveUntilSignal(
  config: ServerConfig,
  onReady: (server: RunningServer) => void,
  options: RunOptions = {},
): Promise<number> {
  const { promise: signalled, resolve } = Promise.withResolvers<void>()
  let signals = 0
  let lastAtMs = 0
  const onSignal = () => {
    // npm sends SIGINT on to a child that the terminal has already sent it to.
    const now = performance.now()
    if (signals > 0 && now - lastAtMs < 500) return
    lastAtMs = now
    signals++
    if (signals > 1) process.exit(1)
    resolve()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // A server that was started by `strobe up` ends with it.
  process.once('disconnect', onSignal)
  const server = await runServer(config, options)
  onReady(server)
  await signalled
  await server.stop()
  return 0
}

/** Tells the others of the store that this server lives, until it closes. */
async function joinServers(
  client: StoreClient,
  config: ServerConfig,
  facts: { version: string; startedAtMs: number; port: number },
  log: Logger,
  closers: (() => Promise<void>)[],
): Promise<SharedStore> {
  const serverId = await readServerId(config.dataDir)
  const { port, ...rest } = facts
  const host = hostname()
  const registry = new ServerRegistry(client, { ...rest, serverId, host, address: `${host}:${port}` })
  closers.splice(1, 0, async () => registry.stop())
  const earlierLife = await registry.start(config.leaseMs / 6, error =>
    log.warn({ err: error }, 'no sign of life could be written; other servers may take this one for dead'),
  )
  return { serverId, earlierLife, leaseMs: config.leaseMs }
}

/** Where this machine reaches what listens there, as a URL writes it. */
function reachableHost(listen: string): string {
  const address = listen.replace(/^\[|\]$/g, '')
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return address.includes(':') ? `[${address}]` : address
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}

async function closeAll(closers: (() => Promise<void>)[], log: Logger): Promise<void> {
  for (const close of closers) {
    try {
      await close()
    } catch (error) {
      log.error({ err: error }, 'a part of the server did not close cleanly')
    }
  }
}

function listen(server: Server, host: string, port: number, flag: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') reject(error)
      else describeTaken(port, flag, error).then(reject, reject)
    })
    server.listen(port, host.replace(/^\[|\]$/g, ''), () => {
      server.removeAllListeners('error')
      resolve((server.address() as AddressInfo).port)
    })
  })
}

async function describeTaken(port: number, flag: string, cause: unknown): Promise<CodedError> {
  const holder = await findPortHolder(port)
  const who = holder ? `by pid ${holder.pid} (${holder.command})` : 'by another process'
  return new CodedError(
    'PORT_TAKEN',
    `port ${port} is taken ${who}; stop it, or choose another port with ${flag} ${port + 10}`,
    { port, ...(holder ? { pid: holder.pid, command: holder.command } : {}) },
    { cause },
  )
}

async function bindGrpc(server: GrpcServer, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (!error) resolve(bound)
      else if (/EADDRINUSE|No address added|address already in use/i.test(error.message))
        describeTaken(port, '--grpc-port', error).then(reject, reject)
      else reject(error)
    })
  })
}

/** Open calls get timeoutMs to end. */
function closeGrpc(server: GrpcServer, timeoutMs: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => server.forceShutdown(), timeoutMs)
    server.tryShutdown(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function closeHttp(server: Server, timeoutMs: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => server.closeAllConnections(), timeoutMs)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}

function storeMetrics(metrics: ServerMetrics): StoreMetrics {
  return {
    insertedRows: (table, rows) => metrics.insertedRows.inc({ table }, rows),
    insertRetried: reason => metrics.insertRetries.inc({ reason }),
    groupReplayed: outcome => metrics.replayedGroups.inc({ outcome }),
    insertSeconds: seconds => metrics.insertSeconds.observe(seconds),
    contested: batches => metrics.contestedBatches.inc(batches),
    fenced: state => metrics.fencedGroups.inc({ state }),
  }
}

function levelMetrics(metrics: ServerMetrics): LevelMetrics {
  return {
    ran: (level, reason, outcome, periods) => metrics.levelPeriods.inc({ level, reason, outcome }, periods),
    ranFor: (level, seconds) => metrics.levelRunSeconds.observe({ level }, seconds),
    wrote: (level, rows) => metrics.levelRows.inc({ level }, rows),
    lags: (level, seconds) => metrics.levelLag.set({ level }, seconds),
    deleted: (level, runs) => metrics.levelDeletedRuns.inc({ level }, runs),
  }
}

/** Until the store answers: alive, not ready. */
function answerStarting(request: IncomingMessage, response: ServerResponse): void {
  for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value)
  const isHealth = request.url === '/healthz'
  response.statusCode = isHealth ? 200 : 503
  response.setHeader('retry-after', '1')
  if (request.url?.startsWith('/api/')) {
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        code: 'STORE_NOT_READY',
        message: 'the server is starting; try again in a second',
        details: {},
      }),
    )
    return
  }
  response.setHeader('content-type', 'text/plain')
  response.end(isHealth ? 'ok\n' : 'the server is starting\n')
}
