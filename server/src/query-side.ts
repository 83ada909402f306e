import type { Logger } from 'pino'
import type { createRequestMetrics } from './api/request-metrics.ts'
import type { ServerConfig } from './config.ts'
import type { QueryContext } from './query/context.ts'
import { createComparer } from './query/diff/comparer.ts'
import { createTreeWorker, type TreeWorker } from './query/tree/workers.ts'
import type { StoreClient } from './storage/client.ts'
import { createReader, type StatementCost } from './storage/select/reader.ts'
import { type TenantValues, tenantSetting } from './tenant-settings.ts'

export interface QuerySideOptions {
  client: StoreClient
  config: ServerConfig
  metrics: ReturnType<typeof createRequestMetrics>
  log: Logger
  now(): number
  levels: NonNullable<QueryContext['levels']>
  valuesOf(tenant: string): TenantValues
  /** As QueryContext has it. */
  keptFrom: QueryContext['keptFrom']
  groupLabels: QueryContext['groupLabels']
}

/** What reads profiles: the store's reader with its limits, the threads, and what is counted and logged of both. */
export function createQuerySide(options: QuerySideOptions): { context: QueryContext; stop(): Promise<void> } {
  const { client, config, metrics, log, valuesOf } = options
  const reader = createReader(
    client,
    {
      timeoutMs: config.queryTimeoutMs,
      memoryBytes: config.queryMemoryBytes,
      rows: config.queryRows,
      gate: {
        places: config.queryConcurrency,
        longPlaces: Math.max(1, Math.floor(config.queryConcurrency / 2)),
        tenantPlaces: tenant => tenantSetting(valuesOf(tenant), 'query_statements'),
        tenantWaiting: tenant => tenantSetting(valuesOf(tenant), 'query_waiting'),
        waitMs: config.queryTimeoutMs,
      },
    },
    cost => {
      countStatement(cost, metrics)
      if (cost.elapsedMs < config.slowQueryMs) return
      const { statement, tenant, rowsRead, bytesRead, answerBytes, failure } = cost
      log.warn(
        {
          statement,
          tenant,
          elapsedMs: Math.round(cost.elapsedMs),
          waitedMs: Math.round(cost.waitedMs),
          ...{ rowsRead, bytesRead, answerBytes },
          ...(failure === '' ? {} : { code: failure }),
        },
        'slow statement',
      )
    },
  )

  function thread(name: string, share: number): TreeWorker {
    return createTreeWorker(
      { cacheBytes: Math.floor(config.stackCacheBytes * share) },
      {
        onJob({ kind, tenant, busyMs, elapsedMs, failure }, stats) {
          metrics.treeSeconds.observe({ kind }, busyMs / 1000)
          if (failure !== '') metrics.treeFailures.inc({ kind, code: failure })
          metrics.stackCacheBytes.set({ thread: name }, stats.cacheBytes)
          metrics.stackCacheLookups.set({ thread: name, outcome: 'hit' }, stats.hits)
          metrics.stackCacheLookups.set({ thread: name, outcome: 'miss' }, stats.misses)
          if (busyMs < config.slowQueryMs) return
          log.warn(
            {
              statement: kind,
              tenant,
              cpuMs: Math.round(busyMs),
              elapsedMs: Math.round(elapsedMs),
              ...(failure === '' ? {} : { code: failure }),
            },
            'slow tree',
          )
        },
        onJobs: jobs => metrics.treeJobs.set({ thread: name }, jobs),
        onRestart(error) {
          metrics.treeRestarts.inc({ thread: name })
          log.error({ err: error, thread: name }, 'a query thread ended; the next query starts it again')
        },
      },
    )
  }
  const trees = thread('trees', 0.8)
  const exports = thread('exports', 0.2)
  const comparer = createComparer(config.queryTimeoutMs)
  return {
    context: {
      reader,
      trees,
      exports,
      comparer,
      treeLimits: {
        nodes: config.queryNodes,
        frames: config.queryFrames,
        timeoutMs: config.queryTimeoutMs,
      },
      now: options.now,
      agentSilentMs: config.agentSilentMs,
      isDemo: config.demo,
      keptFrom: options.keptFrom,
      groupLabels: options.groupLabels,
      levels: options.levels,
    },
    async stop() {
      await comparer.stop()
      await trees.stop()
      await exports.stop()
    },
  }
}

function countStatement(cost: StatementCost, metrics: QuerySideOptions['metrics']): void {
  const { statement } = cost
  metrics.statementSeconds.observe({ statement }, cost.elapsedMs / 1000)
  metrics.statementWaitSeconds.observe({ statement }, cost.waitedMs / 1000)
  metrics.statementRows.inc({ statement }, cost.rowsRead)
  metrics.statementBytes.inc({ statement }, cost.bytesRead)
  if (cost.failure !== '') metrics.statementFailures.inc({ statement, code: cost.failure })
}
