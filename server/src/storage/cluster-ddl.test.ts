import { afterAll, beforeAll, expect, test } from 'vitest'
import { clusterDdl, clusterSettings } from './cluster-ddl.ts'
import { startTestStore, type TestStore } from './test-store.ts'

const statements = clusterDdl('profiles')
let store: TestStore

beforeAll(async () => {
  store = await startTestStore()
}, 60_000)
afterAll(() => store?.stop(), 60_000)

test.each(statements.filter(statement => !statement.startsWith('INSERT')).map(statement => [statement]))(
  'the engine parses %s',
  async statement => {
    // As one document: the engine explains no stream.
    const result = await store.client.query({ query: `EXPLAIN AST ${statement}`, format: 'JSON' })
    expect((await result.json()).data.length).toBeGreaterThan(1)
    expect(statement).toContain("ON CLUSTER 'profiles'")
  },
)

test('every table of the server is there, and each row of it in one place', async () => {
  const names = (await store.select(
    `SELECT name FROM system.tables WHERE database = 'default' AND engine NOT IN ('MaterializedView') ORDER BY name`,
  )) as [string][]
  const made = statements.flatMap(
    text => /^\s*CREATE TABLE IF NOT EXISTS (\w+) ON/.exec(text)?.slice(1) ?? [],
  )
  for (const [name] of names) {
    expect(made).toContain(name)
    const isLocal = made.includes(`${name}_local`)
    const ofName = (table: string) =>
      statements.find(text => new RegExp(`CREATE TABLE IF NOT EXISTS ${table} ON`).test(text))!
    if (isLocal)
      expect(ofName(name)).toMatch(
        /ENGINE = Distributed\('profiles', currentDatabase\(\), '\w+_local', cityHash64\(/,
      )
    if (name !== 'ingest')
      expect(ofName(isLocal ? `${name}_local` : name)).toMatch(
        /ENGINE = Replicated\w*MergeTree\('\/clickhouse/,
      )
  }
  expect(made.filter(name => !name.endsWith('_local')).sort()).toEqual(names.map(([name]) => name).sort())
})

test('no statement names a table of the cluster without saying which', () => {
  for (const statement of statements) {
    expect(statement).not.toMatch(/\bnon_replicated_/)
    expect(statement).not.toMatch(/(?<!Replicated|Null)\b(?:Summing|Replacing|Aggregating)?MergeTree\b/)
    if (/MATERIALIZED VIEW/.test(statement))
      expect(statement).toMatch(/ TO \w+_local AS[\s\S]*FROM ingest_local/)
  }
})

test('what a node does with rows is what one server does', async () => {
  await store.client.command({ query: 'CREATE DATABASE node' })
  // A node without its cluster: the same tables and views, not replicated.
  for (const statement of statements) {
    if (/Distributed\(|^INSERT/.test(statement)) continue
    const query = statement
      .replace(/ON CLUSTER '\w+'/, '')
      .replace(/Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?/, '$1(')
      .replaceAll(/, replicated_deduplication_window_seconds = \d+/g, '')
      .replaceAll(/replicated_deduplication_window = (\d+)/g, 'non_replicated_deduplication_window = $1')
      .replace(
        /^(\s*(?:CREATE TABLE IF NOT EXISTS|ALTER TABLE|DROP VIEW IF EXISTS|CREATE (?:OR REPLACE )?MATERIALIZED VIEW(?: IF NOT EXISTS)?)) (\w+)/,
        '$1 node.$2',
      )
      .replace(/ TO (\w+_local) AS/, ' TO node.$1 AS')
      .replace(/FROM ingest_local/, 'FROM node.ingest_local')
    await store.client.command({ query })
  }
  const columns = `tenant, service, type, time, series_id, duration_ns, retention, stack_ids, labelset_ids, vals`
  const row = `('acme', 'api', 'cpu', toDateTime64('2026-11-25 12:00:00', 3), 7, 10000000000, 0, [1, 2], [0, 0], [3, 4])`
  for (const table of ['default.ingest', 'node.ingest_local'])
    await store.client.command({ query: `INSERT INTO ${table} (${columns}) VALUES ${row}` })
  for (const table of ['samples', 'profiles', 'totals_1m', 'totals_10m']) {
    const [one] = await store.select(`SELECT toString(sum(value)), count() FROM default.${table}`)
    const [two] = await store.select(`SELECT toString(sum(value)), count() FROM node.${table}_local`)
    expect([table, two]).toEqual([table, one])
    expect((one as [string])[0]).toBe('7')
    const described = (name: string) =>
      store.select(
        `SELECT name, type FROM system.columns WHERE database || '.' || table = '${name}' ORDER BY name`,
      )
    expect(await described(`node.${table}_local`)).toEqual(await described(`default.${table}`))
  }
})

test('the settings that the server needs are settings', async () => {
  const settings = Object.entries(clusterSettings)
    .map(([name, value]) => `${name} = ${value}`)
    .join(', ')
  expect(await store.select(`SELECT 1 SETTINGS ${settings}`)).toEqual([[1]])
})

test('a name that is none is refused', () => {
  expect(() => clusterDdl(`x' AS SELECT`)).toThrow(/no name of a cluster/)
})
