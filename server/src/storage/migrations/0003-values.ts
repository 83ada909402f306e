/** Sums that keep all their digits, units of numeric sample labels, and what sample labels a service has. */
export const name = '0003-values'

// arraySum of Int64 is an Int64 again and wraps.
const exactSum = 'arraySum(one -> toInt128(one), vals)'

export const statements: string[] = [
  // One profile may hold two values near 2^63, and a minute many.
  'ALTER TABLE profiles MODIFY COLUMN value Int128 CODEC(ZSTD(1))',
  'ALTER TABLE totals_1m MODIFY COLUMN value Int128 CODEC(ZSTD(1))',
  // Not MODIFY QUERY: the view's part in deduplication ids is then another after the next restart (26.7.2.1), and
  // a group whose insert the restart cut off would be stored twice.
  `CREATE OR REPLACE MATERIALIZED VIEW ingest_profiles TO profiles AS
    SELECT tenant, service, type, time, series_id, group_id, batch_id, duration_ns, period,
      ${exactSum} AS value, toUInt32(length(vals)) AS stacks, expected, lost, truncated, unsymbolized,
      flags, original_time, received_at, retention
    FROM ingest`,
  `CREATE OR REPLACE MATERIALIZED VIEW ingest_totals TO totals_1m AS
    SELECT tenant, service, type, toStartOfMinute(toDateTime(time)) AS time, series_id, ${exactSum} AS value,
      toUInt32(1) AS profiles, duration_ns AS covered_ns, retention
    FROM ingest`,

  // A name that stands here is a number's, '' when it has no unit; other labels are text.
  'ALTER TABLE labelsets ADD COLUMN IF NOT EXISTS units Map(LowCardinality(String), String) AFTER labels',

  // One row per value of a sample label in a service: to list them without reading samples.
  `CREATE TABLE IF NOT EXISTS sample_labels (
    tenant LowCardinality(String), service LowCardinality(String), name LowCardinality(String), value String,
    first_seen SimpleAggregateFunction(min, Date), last_seen SimpleAggregateFunction(max, Date)
  ) ENGINE = AggregatingMergeTree ORDER BY (tenant, service, name, value)
  SETTINGS fsync_after_insert = 1`,
]
