import { randomBytes } from 'node:crypto'
import { IDENTITY_RULE_VERSION } from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { StoreClient } from './client.ts'
import * as first from './migrations/0001-first.ts'
import * as levels from './migrations/0002-levels.ts'
import * as values from './migrations/0003-values.ts'
import * as tenants from './migrations/0004-tenants.ts'
import * as life from './migrations/0005-life.ts'
import * as smallerRows from './migrations/0006-smaller-rows.ts'
import * as groups from './migrations/0011-groups.ts'

export interface Migration {
  name: string
  /** Each may run again after a crash between it and its record. */
  statements: string[]
}

/** In the order they were written; a migration never changes after a release. */
export const migrations: Migration[] = [first, levels, values, tenants, life, smallerRows, groups]

/**
 * Brings the schema up to date and checks that ids in the store were made by this program's rule. May be
 * ended anywhere and run again, and by two servers at once.
 * Throws STORE_TOO_NEW before anything is touched, STORE_IDENTITY_MISMATCH.
 */
export async function migrate(client: StoreClient, list: Migration[] = migrations): Promise<void> {
  const done = new Set(await readMigrations(client))
  const unknown = [...done].filter(name => !list.some(migration => migration.name === name)).sort()
  if (unknown.length > 0) {
    throw new CodedError(
      'STORE_TOO_NEW',
      `the store was changed by a newer version (${unknown.join(', ')}), this program knows ${list.at(-1)?.name}; ` +
        'run the newer version, restore a backup from before it, or start with an empty store. Nothing was touched',
      { unknown },
    )
  }
  await client.command({
    query: `CREATE TABLE IF NOT EXISTS schema_migrations (name String, at DateTime64(3) DEFAULT now64(3))
      ENGINE = ReplacingMergeTree(at) ORDER BY name`,
  })
  for (const migration of list) {
    if (done.has(migration.name)) continue
    for (const query of migration.statements) await client.command({ query })
    await client.insert({
      table: 'schema_migrations',
      values: [{ name: migration.name }],
      format: 'JSONEachRow',
    })
  }
  const rule = await readMeta(client, 'identity_rule_version')
  if (rule === null) await writeMeta(client, 'identity_rule_version', String(IDENTITY_RULE_VERSION))
  else if (rule !== String(IDENTITY_RULE_VERSION)) {
    throw new CodedError(
      'STORE_IDENTITY_MISMATCH',
      `ids in this store follow rule ${rule}, this program makes them by rule ${IDENTITY_RULE_VERSION}; ` +
        'run the version that wrote the store, or start with an empty one',
      { stored: rule, program: IDENTITY_RULE_VERSION },
    )
  }
  if ((await readMeta(client, 'store_epoch')) === null) {
    await writeMeta(client, 'store_epoch', randomBytes(8).toString('hex'))
  }
}

/** Names of the migrations that a store has; [] in one that nobody wrote yet. */
export async function readMigrations(client: StoreClient): Promise<string[]> {
  const tables = await client.query({
    query: "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'",
    format: 'JSONEachRow',
  })
  if ((await tables.json()).length === 0) return []
  const result = await client.query({
    query: 'SELECT DISTINCT name FROM schema_migrations ORDER BY name',
    format: 'JSONEachRow',
  })
  return (await result.json<{ name: string }>()).map(row => row.name)
}

/** null when nothing was written under the key. */
export async function readMeta(client: StoreClient, key: string): Promise<string | null> {
  const result = await client.query({
    query: 'SELECT value FROM meta WHERE key = {key:String} ORDER BY at DESC, value LIMIT 1',
    query_params: { key },
    format: 'JSONEachRow',
  })
  return (await result.json<{ value: string }>())[0]?.value ?? null
}

export async function writeMeta(client: StoreClient, key: string, value: string): Promise<void> {
  await client.insert({ table: 'meta', values: [{ key, value }], format: 'JSONEachRow' })
}
