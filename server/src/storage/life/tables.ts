/** What a table is to deletion, retention and backup. */
export type TableKind =
  /** Has `time` and a class in its partition key: rows end with their window. */
  | 'timed'
  /** Names what timed rows point at, by content; has `last_seen`. */
  | 'dimension'
  /** Has a tenant and a time of its own. */
  | 'ledger'
  /** Few rows, kept until somebody takes them back. */
  | 'settings'
  /** Of the servers that run now: worth nothing in a backup. */
  | 'running'

export interface StoreTable {
  name: string
  kind: TableKind
  /** Whether a row belongs to one tenant. */
  hasTenant: boolean
}

const tenants = true

/** Every table that keeps rows, in the order in which they are written: what is pointed at comes first. */
export const storeTables: readonly StoreTable[] = [
  { name: 'functions', kind: 'dimension', hasTenant: tenants },
  { name: 'frames', kind: 'dimension', hasTenant: tenants },
  { name: 'stacks', kind: 'dimension', hasTenant: tenants },
  { name: 'labelsets', kind: 'dimension', hasTenant: tenants },
  { name: 'series', kind: 'dimension', hasTenant: tenants },
  { name: 'sample_labels', kind: 'dimension', hasTenant: tenants },
  { name: 'samples', kind: 'timed', hasTenant: tenants },
  { name: 'profiles', kind: 'timed', hasTenant: tenants },
  { name: 'totals_1m', kind: 'timed', hasTenant: tenants },
  { name: 'totals_10m', kind: 'timed', hasTenant: tenants },
  { name: 'group_10m', kind: 'timed', hasTenant: tenants },
  { name: 'series_1h', kind: 'timed', hasTenant: tenants },
  { name: 'group_1h', kind: 'timed', hasTenant: tenants },
  { name: 'functions_1h', kind: 'timed', hasTenant: tenants },
  { name: 'instance_functions_10m', kind: 'timed', hasTenant: tenants },
  { name: 'level_state', kind: 'ledger', hasTenant: tenants },
  { name: 'batches', kind: 'ledger', hasTenant: tenants },
  { name: 'batch_claims', kind: 'running', hasTenant: tenants },
  { name: 'agents', kind: 'ledger', hasTenant: tenants },
  { name: 'tenant_settings', kind: 'settings', hasTenant: tenants },
  { name: 'api_keys', kind: 'settings', hasTenant: tenants },
  { name: 'tenant_deletions', kind: 'settings', hasTenant: !tenants },
  { name: 'servers', kind: 'running', hasTenant: !tenants },
  { name: 'meta', kind: 'settings', hasTenant: !tenants },
  { name: 'schema_migrations', kind: 'settings', hasTenant: !tenants },
]
