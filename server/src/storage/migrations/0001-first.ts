/**
 * The first schema. Ids are 64-bit content hashes (profile/src/identity.ts); the rule version that made
 * them stands in `meta`. Order and codecs: 1.9 bytes per sample, because inside an hour the stack id
 * costs almost nothing when it leads the key.
 */
export const name = '0001-first'

export const statements: string[] = [
  // One row per key: schema facts that every server of a store must agree on.
  `CREATE TABLE IF NOT EXISTS meta (
    key String, value String, at DateTime64(3) DEFAULT now64(3)
  ) ENGINE = ReplacingMergeTree(at) ORDER BY key`,

  // One row per (profile, stack, sample labels). retention is a class, not days: the days belong to the tenant.
  `CREATE TABLE IF NOT EXISTS samples (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    time DateTime CODEC(Delta, ZSTD(1)),
    series_id UInt64 CODEC(ZSTD(1)), stack_id UInt64 CODEC(ZSTD(1)), labelset_id UInt64 CODEC(ZSTD(1)),
    value Int64 CODEC(GCD, T64, ZSTD(1)),
    retention UInt8 CODEC(ZSTD(1))
  ) ENGINE = MergeTree PARTITION BY (retention, toDate(time))
  ORDER BY (tenant, service, type, toStartOfHour(time), stack_id, series_id, time)
  SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1`,

  // One row per profile: without it there are no wall-seconds, missing minutes or single profiles.
  `CREATE TABLE IF NOT EXISTS profiles (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    time DateTime64(3) CODEC(Delta, ZSTD(1)),
    series_id UInt64 CODEC(ZSTD(1)), group_id UInt64 CODEC(ZSTD(1)), batch_id FixedString(16) CODEC(ZSTD(1)),
    duration_ns Int64 CODEC(T64, ZSTD(1)), period Int64 CODEC(T64, ZSTD(1)),
    value Int64 CODEC(T64, ZSTD(1)), stacks UInt32 CODEC(T64, ZSTD(1)),
    expected UInt64 CODEC(T64, ZSTD(1)), lost UInt64 CODEC(T64, ZSTD(1)),
    truncated UInt64 CODEC(T64, ZSTD(1)), unsymbolized UInt64 CODEC(T64, ZSTD(1)),
    -- bit 0: time missing, receive time used; bit 1: re-timed into the window, original_time kept
    flags UInt8, original_time DateTime64(3) CODEC(ZSTD(1)),
    received_at DateTime64(3) CODEC(Delta, ZSTD(1)),
    retention UInt8 CODEC(ZSTD(1))
  ) ENGINE = MergeTree PARTITION BY (retention, toDate(time))
  ORDER BY (tenant, service, type, series_id, time)
  SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1`,

  // Sum per series and minute of the profile's start.
  `CREATE TABLE IF NOT EXISTS totals_1m (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    time DateTime CODEC(Delta, ZSTD(1)), series_id UInt64 CODEC(ZSTD(1)),
    value Int64 CODEC(T64, ZSTD(1)), profiles UInt32 CODEC(T64, ZSTD(1)), covered_ns Int64 CODEC(T64, ZSTD(1)),
    retention UInt8 CODEC(ZSTD(1))
  ) ENGINE = SummingMergeTree((value, profiles, covered_ns)) PARTITION BY (retention, toMonday(time))
  ORDER BY (tenant, service, type, series_id, time, retention)
  SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1`,

  // frames leaf first. fstack_id is the same stack over functions only, so that a deploy does not rename it.
  `CREATE TABLE IF NOT EXISTS stacks (
    tenant LowCardinality(String), service LowCardinality(String), stack_id UInt64, fstack_id UInt64,
    frames Array(UInt64) CODEC(ZSTD(3)), last_seen Date
  ) ENGINE = ReplacingMergeTree(last_seen) ORDER BY (tenant, service, stack_id)
  SETTINGS index_granularity = 1024, fsync_after_insert = 1`,

  // function_id 0: not named; then module, build_id and address are its identity.
  `CREATE TABLE IF NOT EXISTS frames (
    tenant LowCardinality(String), frame_id UInt64, function_id UInt64, line UInt32,
    module LowCardinality(String), build_id LowCardinality(String), address UInt64,
    kind LowCardinality(String), last_seen Date
  ) ENGINE = ReplacingMergeTree(last_seen) ORDER BY (tenant, frame_id)
  SETTINGS index_granularity = 1024, fsync_after_insert = 1`,

  `CREATE TABLE IF NOT EXISTS functions (
    tenant LowCardinality(String), function_id UInt64, name String CODEC(ZSTD(3)), system_name String CODEC(ZSTD(3)),
    file String CODEC(ZSTD(3)), start_line UInt32, module LowCardinality(String), last_seen Date
  ) ENGINE = ReplacingMergeTree(last_seen) ORDER BY (tenant, function_id)
  SETTINGS index_granularity = 1024, fsync_after_insert = 1`,

  // Replacing would lose first_seen at a merge.
  `CREATE TABLE IF NOT EXISTS series (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    series_id UInt64, group_id UInt64,
    labels SimpleAggregateFunction(anyLast, Map(String, String)),
    first_seen SimpleAggregateFunction(min, DateTime), last_seen SimpleAggregateFunction(max, DateTime)
  ) ENGINE = AggregatingMergeTree ORDER BY (tenant, service, type, series_id, group_id)
  SETTINGS fsync_after_insert = 1`,

  // Labels of samples (thread name); id 0 is the empty set.
  `CREATE TABLE IF NOT EXISTS labelsets (
    tenant LowCardinality(String), labelset_id UInt64, labels Map(LowCardinality(String), String), last_seen Date
  ) ENGINE = ReplacingMergeTree(last_seen) ORDER BY (tenant, labelset_id)
  SETTINGS fsync_after_insert = 1`,

  // The ledger: a batch that stands here was stored, whoever asks again.
  `CREATE TABLE IF NOT EXISTS batches (
    tenant LowCardinality(String), batch_id FixedString(16), profiles UInt32, received_at DateTime64(3)
  ) ENGINE = ReplacingMergeTree(received_at) PARTITION BY toDate(received_at) ORDER BY (tenant, batch_id)
  SETTINGS fsync_after_insert = 1`,

  `CREATE TABLE IF NOT EXISTS agents (
    tenant LowCardinality(String), host String, version String, kernel String, state LowCardinality(String), reason String,
    started_at DateTime64(3), checks String, counters String, last_seen DateTime64(3)
  ) ENGINE = ReplacingMergeTree(last_seen) ORDER BY (tenant, host)`,

  // What an insert writes: one row per profile; the views below spread it, all under one deduplication token.
  `CREATE TABLE IF NOT EXISTS ingest (
    tenant String, service String, type String, time DateTime64(3), series_id UInt64, group_id UInt64,
    batch_id FixedString(16), duration_ns Int64, period Int64, expected UInt64, lost UInt64, truncated UInt64,
    unsymbolized UInt64, flags UInt8, original_time DateTime64(3), received_at DateTime64(3), retention UInt8,
    stack_ids Array(UInt64), labelset_ids Array(UInt64), vals Array(Int64)
  ) ENGINE = Null`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_samples TO samples AS
    SELECT tenant, service, type, toDateTime(time) AS time, series_id, stack_id, labelset_id, value, retention
    FROM ingest ARRAY JOIN stack_ids AS stack_id, labelset_ids AS labelset_id, vals AS value`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_profiles TO profiles AS
    SELECT tenant, service, type, time, series_id, group_id, batch_id, duration_ns, period,
      arraySum(vals) AS value, toUInt32(length(vals)) AS stacks, expected, lost, truncated, unsymbolized,
      flags, original_time, received_at, retention
    FROM ingest`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_totals TO totals_1m AS
    SELECT tenant, service, type, toStartOfMinute(toDateTime(time)) AS time, series_id, arraySum(vals) AS value,
      toUInt32(1) AS profiles, duration_ns AS covered_ns, retention
    FROM ingest`,
]
