import { expect, test } from 'vitest'
import * as statements from './level-statements.ts'
import type { Scope, Statement } from './statement.ts'

const scope: Scope = {
  tenant: 'acme',
  range: { from: 1_700_000_000, to: 1_700_010_000 },
  types: ['process_cpu:cpu:nanoseconds:cpu:nanoseconds'],
  matchers: [
    { name: 'service_name', op: '=', value: 'api' },
    { name: 'service_version', op: '=~', value: '1\\..*|2' },
  ],
}
const raw = [
  { range: { from: 1_700_000_000, to: 1_700_000_400 }, services: [] },
  { range: { from: 1_700_002_800, to: 1_700_006_400 }, services: ["we'b"] },
]
const levels = [
  {
    level: 'group_1h' as const,
    range: { from: 1_700_002_800, to: 1_700_006_400 },
    runIds: ['18446744073709551615'],
  },
  { level: 'series_1h' as const, range: { from: 1_700_006_400, to: 1_700_010_000 }, runIds: ['1', '2'] },
]

const every: Record<keyof typeof statements, Statement[]> = {
  selectPeriods: [
    statements.selectPeriods(scope, [
      { level: 'group_1h', ranges: [{ from: 1_700_002_800, to: 1_700_006_400 }] },
      { level: 'group_10m', ranges: [{ from: 1_700_000_400, to: 1_700_001_000 }] },
    ]),
  ],
  selectCoverageByTen: [statements.selectCoverageByTen(scope)],
  selectLevelFunctions: [statements.selectLevelFunctions(scope, { ...levels[0]!, level: 'functions_1h' })],
  selectPlannedStackSums: [
    statements.selectPlannedStackSums(scope, { raw, levels }, null),
    statements.selectPlannedStackSums(scope, { raw: [], levels }, null),
    statements.selectPlannedStackSums(scope, { raw, levels }, "it's"),
  ],
}
const all = Object.entries(every).flatMap(([name, list]) => list.map(statement => ({ name, statement })))

test('every exported statement is looked at here', () => {
  expect(Object.keys(every).sort()).toEqual(Object.keys(statements).sort())
})

test.each(all)('$name: every table is read for one tenant', ({ statement: { sql, params } }) => {
  const tables = [...sql.matchAll(/\b(?:FROM|JOIN)\s+(?!\()(\w+)(?=(.{0,31}))/g)]
  expect(tables.length).toBeGreaterThan(0)
  for (const [, , after] of tables) expect(after).toMatch(/^ WHERE tenant = \{tenant:String\}/)
  expect(params.tenant).toBe('acme')
})

test.each(all)('$name: tables with a time are read by ranges of it', ({ statement: { sql } }) => {
  for (const [, table, after] of sql.matchAll(/\bFROM (?!series\b)(\w+) WHERE (?=(.*))/g)) {
    expect(after).toMatch(/\btime >= toDateTime\(\d+\) AND time < toDateTime\(\d+\)/)
    if (table === 'samples')
      expect(after).toMatch(
        /toStartOfHour\(time\) >= toDateTime\(\d+\) AND toStartOfHour\(time\) <= toDateTime\(\d+\)/,
      )
  }
})

test.each(all)('$name: text of users travels as parameters', ({ statement: { sql, params } }) => {
  for (const text of ['acme', 'api', "we'b", "it's", 'process_cpu', '1\\.']) expect(sql).not.toContain(text)
  for (const [, name] of sql.matchAll(/\{(\w+):\w+\}/g)) expect(params).toHaveProperty(name!)
})

test('groups are chosen by group, series by series', () => {
  const [{ sql }] = every.selectPlannedStackSums as [Statement]
  expect(sql).toMatch(/FROM group_1h .*? group_id IN \(SELECT group_id FROM series /)
  expect(sql).toMatch(/FROM series_1h .*? series_id IN \(SELECT series_id FROM series /)
  expect(sql).toMatch(/FROM samples .*? series_id IN \(SELECT series_id FROM series /)
})

test('a run that is not a number is refused', () => {
  const part = { ...levels[0]!, runIds: ['1) OR (1=1'] }
  expect(() => statements.selectPlannedStackSums(scope, { raw, levels: [part] }, null)).toThrow(/not an id/)
})
