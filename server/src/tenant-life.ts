import type { TenantLife } from './storage/life/expire.ts'
import { type Windows, type WindowTable, windowTableNames } from './storage/life/windows.ts'
import { type TenantValues, tenantSetting } from './tenant-settings.ts'

/** How long a tenant's rows live, by its settings. */
export function tenantLife(values: TenantValues): TenantLife {
  const windows = Object.fromEntries(
    windowTableNames.map(name => [name, tenantSetting(values, `keep_${name}`)]),
  ) as Record<WindowTable, number> satisfies Windows
  return { windows, class: tenantSetting(values, 'retention_class') }
}

/**
 * How long batches must be remembered so that no retry is stored twice: a batch that comes again later holds profiles
 * that are older than the accepted window, and is refused for that.
 */
export function ledgerKeepMs(tenants: Iterable<TenantValues>, windowPastMs: number): number {
  let longest = windowPastMs
  for (const values of tenants) longest = Math.max(longest, tenantSetting(values, 'past_window'))
  return longest + 2 * 86_400_000
}
