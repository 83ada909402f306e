import { expect, test } from 'vitest'
import { migrations } from '../migrate.ts'
import { storeTables } from './tables.ts'

// Deletion, retention and backup know a table only by this list.
test('every table that a migration makes is listed, and says whether it has a tenant', () => {
  const made = new Map<string, boolean>()
  for (const { statements } of migrations)
    for (const sql of statements) {
      const name = /CREATE TABLE IF NOT EXISTS (\w+)/.exec(sql)?.[1]
      if (name && !/ENGINE = Null/.test(sql))
        made.set(name, /\btenant (?:LowCardinality\(String\)|String)/.test(sql))
    }
  // Migrations themselves are recorded in a table that none of them makes; the rows of deletions outlive the tenant.
  made.set('schema_migrations', false)
  made.set('tenant_deletions', false)
  const listed = new Map(storeTables.map(({ name, hasTenant }) => [name, hasTenant]))
  expect([...listed].sort()).toEqual([...made].sort())
})
