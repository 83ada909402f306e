/**
 * Sums by period, so that a long range does not read every sample (docs/decisions/0004-levels.md). A row of a
 * level counts only if its run_id is one that `level_state` records with as many profiles as the period has; so
 * none of these tables sums or replaces at merges.
 */
export const name = '0002-levels'

const level = (table: string, columns: string, order: string, partition: string) =>
  `CREATE TABLE IF NOT EXISTS ${table} (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    -- Start of the period.
    time DateTime CODEC(Delta, ZSTD(1)),
    run_id UInt64 CODEC(ZSTD(1)),
    ${columns},
    -- How many rows of samples were summed.
    samples UInt64 CODEC(T64, ZSTD(1)),
    retention UInt8 CODEC(ZSTD(1))
  ) ENGINE = MergeTree PARTITION BY (retention, ${partition})
  ORDER BY (tenant, service, type, time, run_id, ${order})
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`

const id = (column: string) => `${column} UInt64 CODEC(ZSTD(1))`
const sum = (column: string) => `${column} Int128 CODEC(ZSTD(1))`
const bySeries = `${id('stack_id')}, ${id('series_id')}, ${sum('value')}`
const byGroup = `${id('stack_id')}, ${id('group_id')}, ${sum('value')}`

/**
 * Profiles per group and ten minutes. A profile counts where it starts; a bit of `minutes` stands for each
 * minute that a profile touches, for a day after its start at most.
 */
const totals = (source: string, samples: string, value: string) =>
  `SELECT tenant, service, type, toDateTime((first_period + step) * 600) AS time, group_id,
      sum(toUInt64(step = 0)) AS profiles, sum(if(step = 0, toUInt64(${samples}), 0)) AS samples,
      sum(if(step = 0, toInt128(${value}), 0)) AS value, sum(if(step = 0, expected, 0)) AS expected,
      sum(if(step = 0, lost, 0)) AS lost, sum(if(step = 0, truncated, 0)) AS truncated,
      sum(if(step = 0, unsymbolized, 0)) AS unsymbolized, sum(toUInt64(step = 0 AND flags != 0)) AS retimed,
      groupBitOr(toUInt16(bitShiftLeft(toUInt32(1), least(last_minute - (first_period + step) * 10, 9) + 1)
        - bitShiftLeft(toUInt32(1), if(step = 0, first_minute - first_period * 10, 0)))) AS minutes,
      max(received) AS received_at, retention
    FROM (SELECT *, toUInt32(intDiv(toUnixTimestamp64Milli(time), 60000)) AS first_minute,
        intDiv(first_minute, 10) AS first_period,
        toUInt32(intDiv(toUnixTimestamp64Milli(time)
          + least(greatest(intDiv(duration_ns, 1000000), 1), 86400000) - 1, 60000)) AS last_minute,
        toDateTime(received_at) AS received
      FROM ${source})
    ARRAY JOIN range(intDiv(last_minute, 10) - first_period + 1) AS step
    GROUP BY tenant, service, type, time, group_id, retention`

export const statements: string[] = [
  // Small for ever: what a period must have for a level to count, and what a long range rests on.
  `CREATE TABLE IF NOT EXISTS totals_10m (
    tenant LowCardinality(String), service LowCardinality(String), type LowCardinality(String),
    time DateTime CODEC(Delta, ZSTD(1)), group_id UInt64 CODEC(ZSTD(1)),
    profiles SimpleAggregateFunction(sum, UInt64), samples SimpleAggregateFunction(sum, UInt64),
    value SimpleAggregateFunction(sum, Int128),
    expected SimpleAggregateFunction(sum, UInt64), lost SimpleAggregateFunction(sum, UInt64),
    truncated SimpleAggregateFunction(sum, UInt64), unsymbolized SimpleAggregateFunction(sum, UInt64),
    retimed SimpleAggregateFunction(sum, UInt64),
    minutes SimpleAggregateFunction(groupBitOr, UInt16),
    received_at SimpleAggregateFunction(max, DateTime),
    retention UInt8
  ) ENGINE = AggregatingMergeTree PARTITION BY (retention, toYYYYMM(time))
  ORDER BY (tenant, service, type, time, group_id, retention)
  SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1`,
  // What stands in the store already: in one block and in order, so that the token drops a second try, and a second
  // server's. Until 0003 sums of a profile may have wrapped; levels are checked modulo 2^64.
  `INSERT INTO totals_10m (tenant, service, type, time, group_id, profiles, samples, value, expected, lost,
      truncated, unsymbolized, retimed, minutes, received_at, retention)
    SETTINGS insert_deduplicate = 1, insert_deduplication_token = '0002-levels',
      min_insert_block_size_rows = 1000000000, min_insert_block_size_bytes = 0, max_insert_threads = 1
    SELECT * FROM (${totals('profiles', 'stacks', 'value')}) ORDER BY ALL`,
  `CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_totals_10m TO totals_10m AS
    ${totals('ingest', 'length(vals)', 'arraySum(one -> toInt128(one), vals)')}`,

  level('group_10m', byGroup, 'stack_id, group_id', 'toDate(time)'),
  level('series_1h', bySeries, 'stack_id, series_id', 'toMonday(time)'),
  level('group_1h', byGroup, 'stack_id, group_id', 'toYYYYMM(time)'),
  // frame_id names some frame of what the function table shows as one function (name, file, module and kind);
  // 0 for stacks without frames, 1 for stacks and frames that are not stored.
  level(
    'functions_1h',
    `${id('frame_id')}, ${id('group_id')}, ${sum('self')}, ${sum('total')}`,
    'frame_id, group_id',
    'toYYYYMM(time)',
  ),
  level(
    'instance_functions_10m',
    `${id('frame_id')}, ${id('series_id')}, ${sum('self')}`,
    'series_id, frame_id',
    'toMonday(time)',
  ),

  // One row when a run begins and one when all of it stands; what only began is tried again later.
  // profiles: how many the run summed, 0 while it is not known.
  `CREATE TABLE IF NOT EXISTS level_state (
    tenant LowCardinality(String), level LowCardinality(String), service LowCardinality(String),
    type LowCardinality(String), time DateTime CODEC(Delta, ZSTD(1)),
    run_id UInt64, step Enum8('begun' = 0, 'recorded' = 1), profiles UInt64, at DateTime64(3)
  ) ENGINE = MergeTree PARTITION BY toYYYYMM(time)
  ORDER BY (tenant, level, service, type, time, run_id, step)
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
]
