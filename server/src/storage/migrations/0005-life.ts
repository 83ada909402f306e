/** How long data lives: windows that differ from the defaults, and tenants that are to go. */
export const name = '0005-life'

export const statements: string[] = [
  // One row per setting. tenant '': for every tenant that has no row of its own. days 0: the setting was taken back.
  `CREATE TABLE IF NOT EXISTS retention_windows (
    tenant String, class UInt8, level LowCardinality(String), days UInt32, at DateTime64(3)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY (tenant, class, level)
  SETTINGS fsync_after_insert = 1`,

  // One row per tenant that was deleted; done_at 0 while its rows are being removed.
  `CREATE TABLE IF NOT EXISTS tenant_deletions (
    tenant String, asked_at DateTime64(3), done_at DateTime64(3), at DateTime64(3)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY tenant
  SETTINGS fsync_after_insert = 1`,
]
