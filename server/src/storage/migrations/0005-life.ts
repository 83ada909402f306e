/** Tenants that are to go. */
export const name = '0005-life'

export const statements: string[] = [
  // One row per tenant that was deleted, the newest wins; done_at 0 while its rows are being removed.
  `CREATE TABLE IF NOT EXISTS tenant_deletions (
    tenant String, asked_at DateTime64(3), done_at DateTime64(3), at DateTime64(3)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY tenant
  SETTINGS fsync_after_insert = 1`,
]
