import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerStatus } from './api/route.ts'
import type { ServerConfig } from './config.ts'
import { keepReserve } from './disk-reserve.ts'
import type { ServerMetrics } from './metrics.ts'
import type { StoreClient } from './storage/client.ts'
import { DiskGuard, type DiskState, selectDiskSize } from './storage/life/disk-guard.ts'
import { defaultLifeSettings, LifeJob } from './storage/life/life-job.ts'
import { defaultWindows, type WindowTable, windowStart } from './storage/life/windows.ts'
import type { StoreLog } from './storage/store.ts'
import type { TenantStore } from './storage/tenants.ts'
import { ledgerKeepMs, tenantLife } from './tenant-life.ts'

export interface LifeParts {
  client: StoreClient
  config: Pick<
    ServerConfig,
    'dataDir' | 'clickhouseUrl' | 'diskFreeBytes' | 'diskRefuseBytes' | 'storeBytes' | 'lifeIntervalMs'
  >
  tenants: TenantStore
  windowPastMs: number
  now: () => number
  log: StoreLog
  metrics: ServerMetrics
}

export interface Life {
  guard: DiskGuard
  job: LifeJob
  /** Unix s; as QueryContext has it. */
  keptFrom(tenant: string, table: WindowTable): number
  stop(): Promise<void>
}

/** Puts together what ends data: windows of tenants, the disk's marks, and the job. */
export async function startLife(parts: LifeParts): Promise<Life> {
  const { client, config, tenants, now, log, metrics } = parts
  const guard = new DiskGuard({
    client,
    measure: async () => {
      if (config.clickhouseUrl !== '') return selectDiskSize(client)
      await keepReserve(config.dataDir)
      const { bavail, bsize, blocks } = await statfs(config.dataDir)
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    },
    settings: {
      freeBytes: config.diskFreeBytes,
      refuseBytes: config.diskRefuseBytes,
      storeBytes: config.storeBytes,
    },
    windows: defaultWindows,
    now,
    log,
    onFreed: ({ table, bytes }) => metrics.freedBytes.inc({ table }, bytes),
  })
  const job = new LifeJob({
    client,
    guard,
    journalFolder: join(config.dataDir, 'journal'),
    settings: { ...defaultLifeSettings(), intervalMs: config.lifeIntervalMs },
    defaults: () => tenantLife(new Map()),
    own: () => new Map(tenants.tenants().map(tenant => [tenant, tenantLife(tenants.settings(tenant))])),
    ledgerKeepMs: () =>
      ledgerKeepMs(
        tenants.tenants().map(tenant => tenants.settings(tenant)),
        parts.windowPastMs,
      ),
    now,
    log,
    metrics: { removed: (table, reason, rows) => metrics.removedRows.inc({ table, reason }, rows) },
  })
  await job.start()
  return {
    guard,
    job,
    keptFrom(tenant, table) {
      const start = windowStart(tenantLife(tenants.settings(tenant)).windows, table, now())
      return Math.max(start, guard.state.freedUntil[table] ?? 0)
    },
    stop: () => job.stop(),
  }
}

export function describeDisk({
  state,
  reason,
  freeBytes,
  totalBytes,
  storeBytes,
}: DiskState): ServerStatus['disk'] {
  return { state, reason, freeBytes, totalBytes, storeBytes }
}
