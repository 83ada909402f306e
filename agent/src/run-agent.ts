import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { unwindResults } from './bpf/frame-layout.ts'
import type { LaunchHandles, NativeAddon, NativeSession } from './bpf/native.ts'
import type { AgentConfig } from './config.ts'
import { readControl } from './control.ts'
import { AgentMetrics } from './metrics.ts'
import { readProcessStat } from './processes/process-stat.ts'
import { ProcessTable, type ProcessTableOptions } from './processes/process-table.ts'
import { ServiceVersions } from './processes/service-versions.ts'
import { ProfilingTarget } from './processes/target.ts'
import { nativeScope } from './profiles/frame-words.ts'
import { SymbolCache } from './profiles/symbol-cache.ts'
import { buildWindowBatch, type ClockReading } from './profiles/window-batch.ts'
import { BackOff } from './ship/back-off.ts'
import { type AgentState, type HeartbeatFacts, type HostCheck, runHeartbeats } from './ship/heartbeat.ts'
import { IngestClient } from './ship/ingest-client.ts'
import { type EndMessage, pipeMessageType, type ReadyMessage } from './ship/pipe-protocol.ts'
import { PipeSink, writeJson } from './ship/pipe-sink.ts'
import { Shipper } from './ship/shipper.ts'
import type { Sink } from './ship/sink.ts'
import { Spool } from './ship/spool.ts'
import type { Debuginfod } from './symbols/debuginfod.ts'
import { readAgentToken } from './token.ts'

export interface AgentParts {
  config: AgentConfig
  version: string
  log: Logger
  /** The addon with what the launcher left, or why this host cannot be profiled. */
  profiler: { addon: NativeAddon; handles: LaunchHandles } | { reason: string }
  checks: HostCheck[]
  /** Control messages of the parent; read only when the agent is attached. */
  input: Readable
  /** Messages to the parent; written only when the agent is attached. */
  output: Writable
  stop: AbortController
}

/** Runs until the stop signal, then flushes. Resolves when everything is handed on or left in the spool. */
export async function runAgent(parts: AgentParts): Promise<void> {
  const { config, log, stop, output } = parts
  const metrics = new AgentMetrics()
  const target = new ProfilingTarget(config.target, readProcessStat)
  const health = new Health(parts)
  // A parent that died no longer reads: its death is told by the end of stdin.
  output.on('error', () => stop.abort())
  // Whoever started this agent may read a file that this user may not: it sends the key.
  let token = config.isAttached ? '' : readAgentToken(config.tokenFile, process.env)
  if (config.isAttached)
    readControl(
      parts.input,
      message => {
        if (message.target !== undefined) target.setRoot(message.target)
        if (message.token !== undefined) token = message.token
      },
      () => stop.abort(),
    )

  const client =
    config.output === 'server' ? new IngestClient(config.server, config.callTimeoutMs, () => token) : null
  const sink = client ? await openShipper(client, config, metrics, log, health) : new PipeSink(output)
  const relabel = await openRelabel(config.relabelFile)
  const profiler =
    'addon' in parts.profiler ? openProfiler(parts.profiler, parts, metrics, target, sink, relabel) : null
  const facts = (): HeartbeatFacts => ({
    ...health.facts(),
    counters: { ...profiler?.counters(), ...metrics.snapshot() },
  })
  const heartbeats = client
    ? runHeartbeats({
        client,
        facts,
        intervalMs: config.heartbeatMs,
        metrics,
        onFailure: failure => log.warn({ server: config.server, failure }, 'the server takes no reports'),
        signal: stop.signal,
      })
    : Promise.resolve()

  const reason = 'reason' in parts.profiler ? parts.profiler.reason : ''
  if (reason) log.warn({ reason }, 'this host cannot be profiled; reporting only that')
  if (config.output === 'pipe') await profiler?.warmUp()
  if (config.isAttached) {
    const ready: ReadyMessage = { isProfiling: profiler !== null, reason, pid: process.pid }
    await writeJson(output, pipeMessageType.ready, ready)
  }
  if (profiler) await profiler.run()
  else await once(stop.signal)

  await heartbeats
  await sink.close(config.shutdownTimeoutMs)
  client?.close()
  if (config.isAttached) {
    const end: EndMessage = { counters: facts().counters }
    await writeJson(output, pipeMessageType.end, end).catch(() => {})
  }
  log.info({ counters: metrics.snapshot() }, 'agent ended')
}

/** The parser of the rules is loaded only where there are rules: it is memory. */
async function openRelabel(file: string): Promise<ProcessTableOptions['relabel']> {
  if (!file) return undefined
  const { applyRelabelRules, loadRelabelRules } = await import('./processes/relabel.ts')
  const rules = loadRelabelRules(file)
  return (labels, sources) => applyRelabelRules(rules, labels, sources)
}

/** Fetching is loaded only where it is wanted: it is memory. */
async function openDebuginfod(config: AgentConfig, metrics: AgentMetrics): Promise<Debuginfod | null> {
  const urls = config.debuginfodUrls.split(/\s+/).filter(Boolean)
  if (urls.length === 0) return null
  const module = await import('./symbols/debuginfod.ts')
  return new module.Debuginfod({
    urls,
    folder: config.debugDir,
    maxFileBytes: config.debugFileBytes,
    maxFolderBytes: config.debugDirBytes,
    timeoutMs: config.debugTimeoutMs,
    metrics,
    now: Date.now,
  })
}

function once(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function openShipper(
  client: IngestClient,
  config: AgentConfig,
  metrics: AgentMetrics,
  log: Logger,
  health: Health,
): Promise<Shipper> {
  const spool = await Spool.open(config.spoolDir, config.spoolBytes, entry => {
    metrics.add('batches_dropped_spool_full')
    log.warn({ batch: entry.name, spoolBytes: config.spoolBytes }, 'spool full, oldest batch dropped')
  })
  if (spool.length > 0)
    log.info({ batches: spool.length, bytes: spool.bytes }, 'sending what an earlier run left')
  const onState = (failure: string) => {
    health.shipFailure = failure
    if (failure)
      log.warn({ server: config.server, failure }, 'the server does not take profiles; keeping them')
    else log.info({ server: config.server }, 'the server takes profiles again')
  }
  return new Shipper({ client, spool, backOff: new BackOff(500, 30_000), metrics, onState })
}

interface Profiler {
  /** Waits, for a while, until what runs already can be unwound, and drops the samples until then. */
  warmUp(): Promise<void>
  run(): Promise<void>
  counters(): Record<string, number>
}

/** A recording of seconds would be mostly its own start; an agent of days need not wait. */
const warmUpMs = 5000
const warmUpPollMs = 20

/** Samples, and a window at a time to the sink. */
function openProfiler(
  profiler: { addon: NativeAddon; handles: LaunchHandles },
  parts: AgentParts,
  metrics: AgentMetrics,
  target: ProfilingTarget,
  sink: Sink,
  relabel: ProcessTableOptions['relabel'],
): Profiler {
  const { config, log, stop } = parts
  const { addon, handles } = profiler
  const session: NativeSession = addon.openSession({
    handles,
    symbolCacheBytes: config.symbolCacheBytes / 2,
    dwarfBytes: config.dwarfBytes,
    debugFolder: config.debugDir,
  })
  session.start()
  const versions = new ServiceVersions({
    files: addon.openProcessFiles(),
    readStat: readProcessStat,
    maxLookups: 500,
    // What is read later than the window ends shifts its expected samples by as much.
    maxLookupMs: config.windowMs / 20,
    onNone: reason => metrics.add(`versions_none_${reason}`),
    now: () => performance.now(),
  })
  const options = {
    session,
    processes: new ProcessTable({
      hostName: config.hostName,
      periodNs: handles.periodNs,
      kernelThreadResult: unwindResults.kernelThread,
      readStat: readProcessStat,
      maxSeries: config.maxSeries,
      includes: process => target.includes(process),
      versionOf: process => versions.versionOf(process),
      ...(relabel && { relabel }),
    }),
    symbols: new SymbolCache(config.symbolCacheBytes / 2),
    perfMaps: addon.openPerfMaps(config.symbolCacheBytes / 4),
    metrics,
    resultNames: addon.resultNames,
    periodNs: handles.periodNs,
    readClocks,
  }

  const debuginfod = openDebuginfod(config, metrics)

  async function closeWindow(): Promise<void> {
    try {
      for (const buildId of (await debuginfod)?.takeArrived() ?? [])
        for (const file of session.debugFileArrived(buildId)) options.symbols.forget(nativeScope(file))
      const window = await session.collect()
      target.learn(window.processes)
      await versions.learn(window.processes.filter(process => target.includes(process)))
      const batch = await buildWindowBatch(window, options)
      if (batch) await sink.put(batch)
      const wanted = session.takeWantedDebugFiles()
      for (const buildId of wanted) (await debuginfod)?.request(buildId)
    } catch (error) {
      // One window is lost and counted; the next has a chance of its own.
      metrics.add('windows_failed')
      log.error({ err: error }, 'a window was lost')
    }
  }

  async function warmUp(): Promise<void> {
    const endMs = performance.now() + warmUpMs
    while (!stop.signal.aborted && performance.now() < endMs && (session.counters().table_queue ?? 0) > 0)
      await delay(warmUpPollMs, undefined, { signal: stop.signal }).catch(() => {})
    await session.collect()
  }

  async function run(): Promise<void> {
    let next = performance.now() + config.windowMs
    while (!stop.signal.aborted) {
      await delay(Math.max(0, next - performance.now()), undefined, { signal: stop.signal }).catch(() => {})
      if (stop.signal.aborted) break
      await closeWindow()
      // A late window is longer; it is not followed by a short one to catch up.
      next = Math.max(next + config.windowMs, performance.now())
    }
    await session.stop()
    await closeWindow()
    await (await debuginfod)?.close()
  }
  return { warmUp, run, counters: () => session.counters() }
}

/** What the heartbeat says about the agent. */
class Health {
  readonly #parts: AgentParts
  readonly #startedUnixNanos = BigInt(Date.now()) * 1_000_000n
  /** Why the last send failed, '' when it did not. */
  shipFailure = ''

  constructor(parts: AgentParts) {
    this.#parts = parts
  }

  facts(): Omit<HeartbeatFacts, 'counters'> {
    const { config, version, profiler, checks } = this.#parts
    let state: AgentState = 'healthy'
    let reason = ''
    if ('reason' in profiler) {
      state = 'cannot_profile'
      reason = profiler.reason
    } else {
      const failed = profiler.handles.programs.filter(program => !program.loaded)
      reason = failed.map(program => `program ${program.name} did not load: ${program.reason}`).join('; ')
      if (this.shipFailure) reason ||= `the server does not take profiles: ${this.shipFailure}`
      if (reason) state = 'degraded'
    }
    const host = config.hostName
    return {
      host,
      version,
      kernel: release(),
      state,
      reason,
      startedUnixNanos: this.#startedUnixNanos,
      checks,
    }
  }
}

/** The three clocks at one moment; /proc/uptime is boot time in hundredths of a second. */
function readClocks(): ClockReading {
  const [uptime = '0'] = readFileSync('/proc/uptime', 'latin1').split(' ')
  return {
    boottimeNs: BigInt(Math.round(Number(uptime) * 100)) * 10_000_000n,
    monotonicNs: process.hrtime.bigint(),
    wallNs: BigInt(Date.now()) * 1_000_000n,
  }
}
