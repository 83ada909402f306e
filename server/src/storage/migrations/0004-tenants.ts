/** Tenants, their keys, and what several servers on one store need to know of each other. */
export const name = '0004-tenants'

export const statements: string[] = [
  // One row per setting that a tenant has of its own; the newest wins, '' is the default again.
  `CREATE TABLE IF NOT EXISTS tenant_settings (
    tenant LowCardinality(String), name LowCardinality(String), value String, at DateTime64(6) DEFAULT now64(6)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY (tenant, name) SETTINGS fsync_after_insert = 1`,

  // One row per key. hash: SHA-256 of the token, hex. revoked_at 0: it is good. Nothing is ever deleted, so that a
  // store that had keys never opens again.
  `CREATE TABLE IF NOT EXISTS api_keys (
    key_id String, tenant LowCardinality(String), role LowCardinality(String), hash String, note String,
    created_at DateTime64(3), revoked_at DateTime64(3), at DateTime64(6) DEFAULT now64(6)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY key_id SETTINGS fsync_after_insert = 1`,

  // One row per batch and group that means to store it. partitions: where the group's rows go, as
  // 'retention/day' and a space between. withdrawn 1: that group will never store it.
  `CREATE TABLE IF NOT EXISTS batch_claims (
    tenant LowCardinality(String), batch_id FixedString(16), group_id String, server_id LowCardinality(String),
    partitions LowCardinality(String), withdrawn UInt8, at DateTime64(3) DEFAULT now64(3)
  ) ENGINE = ReplacingMergeTree(withdrawn) PARTITION BY toDate(at) ORDER BY (tenant, batch_id, group_id)
  TTL toDateTime(at) + INTERVAL 3 DAY DELETE
  SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1`,

  // Who writes to this store. at: the last sign of life, by the store's clock.
  `CREATE TABLE IF NOT EXISTS servers (
    server_id String, host String, address String, version String, started_at DateTime64(3),
    at DateTime64(3) DEFAULT now64(3)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY server_id`,
]
