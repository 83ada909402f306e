import { migrations } from './migrate.ts'

/**
 * Which shard a row of a table goes to: an expression over its columns. null: the table is small, every node
 * has all of it. What one query joins or one token covers lies on one shard.
 */
const shardingKeys: Record<string, string | null> = {
  schema_migrations: null,
  meta: null,
  tenant_settings: null,
  api_keys: null,
  servers: null,
  tenant_deletions: null,
  agents: null,
  level_state: null,
  batches: 'cityHash64(tenant, batch_id)',
  batch_claims: 'cityHash64(tenant, batch_id)',
  series: 'cityHash64(tenant, service, series_id)',
  stacks: 'cityHash64(tenant, service, stack_id)',
  frames: 'cityHash64(tenant, frame_id)',
  functions: 'cityHash64(tenant, function_id)',
  labelsets: 'cityHash64(tenant, labelset_id)',
  sample_labels: 'cityHash64(tenant, service, name)',
}

/** Eight parts, so that one large service does not fill one shard. */
const bySeries = 'cityHash64(tenant, service, series_id % 8)'
const byService = 'cityHash64(tenant, service)'

function shardingKey(table: string): string | null {
  if (table in shardingKeys) return shardingKeys[table]!
  if (['ingest', 'samples', 'profiles', 'totals_1m', 'totals_10m'].includes(table)) return bySeries
  // Levels: each run of the job writes one service.
  return byService
}

/**
 * The schema for a cluster, made from the migrations: each table as a replicated one on every node
 * (`NAME_local`) and a distributed one over them under the name that the server uses. For a new database; macros
 * shard and replica must be set on every node.
 */
export function clusterDdl(cluster: string): string[] {
  if (!/^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(cluster))
    throw new TypeError(`"${cluster}" is no name of a cluster: letters, digits, _ and -`)
  const on = `ON CLUSTER '${cluster}'`
  const statements = migrations
    .flatMap(migration => migration.statements)
    // What fills a new table from old ones: here there are none.
    .filter(statement => !/^\s*INSERT/.test(statement))
  const tables = statements.flatMap(
    statement => /^\s*CREATE TABLE IF NOT EXISTS (\w+)/.exec(statement)?.slice(1) ?? [],
  )
  const local = (table: string) => (shardingKey(table) === null ? table : `${table}_local`)
  const nodes = statements.map(statement => {
    const clustered = replicate(statement)
      .replace(/^(\s*(?:CREATE TABLE IF NOT EXISTS|ALTER TABLE|DROP VIEW IF EXISTS)) (\w+)/, `$1 $2 ${on}`)
      .replace(/^(\s*CREATE (?:OR REPLACE )?MATERIALIZED VIEW (?:IF NOT EXISTS )?\w+)/, `$1 ${on}`)
    // Columns never have the name of a table here; strings are left alone.
    return tables.reduce((text, table) => {
      if (local(table) === table) return text
      return /^\s*CREATE (?:OR REPLACE )?MATERIALIZED/.test(statement)
        ? text.replace(new RegExp(`\\b(TO|FROM) ${table}\\b`, 'g'), `$1 ${local(table)}`)
        : text.replace(
            new RegExp(`^(\\s*(?:CREATE TABLE IF NOT EXISTS|ALTER TABLE)) ${table}\\b`),
            `$1 ${local(table)}`,
          )
    }, clustered)
  })
  const distributed = tables.flatMap(table => {
    const key = shardingKey(table)
    if (key === null) return []
    return [
      `CREATE TABLE IF NOT EXISTS ${table} ${on} AS ${local(table)}\n  ENGINE = Distributed('${cluster}', currentDatabase(), '${local(table)}', ${key})`,
    ]
  })
  return [
    replicate(schemaMigrations).replace('schema_migrations', `schema_migrations ${on}`),
    ...nodes,
    ...distributed,
    // The server finds nothing to do.
    `INSERT INTO schema_migrations (name) VALUES ${migrations.map(({ name }) => `('${name}')`).join(', ')}`,
  ]

  function replicate(statement: string): string {
    const table = /^\s*CREATE TABLE IF NOT EXISTS (\w+)/.exec(statement)?.[1]
    if (table === undefined) return statement
    const isEverywhere = shardingKey(table) === null
    // Without {shard} all nodes are replicas of one table.
    const path = isEverywhere
      ? `/clickhouse/tables/all/{database}/{table}`
      : `/clickhouse/tables/{shard}/{database}/{table}`
    const replica = isEverywhere ? '{shard}-{replica}' : '{replica}'
    return statement
      .replace(
        /ENGINE = (\w*MergeTree)(?:\(([^()]*(?:\([^()]*\))?[^()]*)\))?/,
        (_, engine: string, given?: string) => {
          const rest = given === undefined || given === '' ? '' : `, ${given}`
          return `ENGINE = Replicated${engine}('${path}', '${replica}'${rest})`
        },
      )
      .replace(
        /non_replicated_deduplication_window = 10000/,
        'replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800',
      )
  }
}

const schemaMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations (name String, at DateTime64(3) DEFAULT now64(3))
  ENGINE = ReplacingMergeTree(at) ORDER BY name`

/** What the server's user needs, or an answer comes before the rows are where others read them. */
export const clusterSettings: Record<string, string> = {
  distributed_foreground_insert: '1',
  insert_quorum: `'auto'`,
  insert_quorum_parallel: '0',
  select_sequential_consistency: '1',
  distributed_product_mode: `'local'`,
}
