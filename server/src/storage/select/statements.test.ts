import { expect, test } from 'vitest'
import * as amounts from './amounts.ts'
import * as coverage from './coverage.ts'
import * as diff from './diff-statements.ts'
import * as sampleLabels from './sample-labels.ts'
import type { Scope, Statement } from './statement.ts'
import * as statements from './statements.ts'

const scope: Scope = {
  tenant: 'acme',
  range: { from: 1_700_000_000, to: 1_700_003_600 },
  types: ['process_cpu:cpu:nanoseconds:cpu:nanoseconds'],
  matchers: [
    { name: 'service_name', op: '=', value: 'api' },
    { name: 'version', op: '=~', value: '1\\..*|2' },
    { name: 'zone', op: '!=', value: "a'b" },
    { name: 'sample.thread', op: '=', value: 'api' },
  ],
}
const by = ['version', "it's"]
const ids = BigUint64Array.of(1n, 18_446_744_073_709_551_615n)

const kinds = ['sum', 'gauge', 'cumulative'] as const

const modules = { ...statements, ...coverage, ...amounts, ...sampleLabels, ...diff }
const every: Record<keyof typeof modules, Statement[]> = {
  selectTypes: [statements.selectTypes(scope)],
  selectServices: [statements.selectServices(scope)],
  selectLabelNames: [statements.selectLabelNames(scope)],
  selectLabelValues: [statements.selectLabelValues(scope, 'version', 10)],
  selectCoverage: kinds.flatMap(kind => [
    coverage.selectCoverage(scope, kind, { by: 'service', stepSeconds: 60, withMinutes: false }),
    coverage.selectCoverage(scope, kind, { by: [], stepSeconds: 60, withMinutes: true }),
    coverage.selectCoverage(scope, kind, { by, stepSeconds: 60, withMinutes: false }),
  ]),
  selectCoverageByMinute: [
    coverage.selectCoverageByMinute(scope, { by: 'service', stepSeconds: 60 }),
    coverage.selectCoverageByMinute(scope, { by, stepSeconds: 60 }),
  ],
  selectAmounts: kinds.flatMap(kind => [
    amounts.selectAmounts(scope, kind, { isByStack: true, by: [...by, 'sample.thread'], stepSeconds: null }),
    amounts.selectAmounts(scope, kind, { isByStack: false, by: ['sample.thread'], stepSeconds: 60 }),
  ]),
  selectStackAmounts: kinds.flatMap(kind => [
    amounts.selectStackAmounts(scope, kind, null),
    amounts.selectStackAmounts(scope, kind, "it's"),
    amounts.selectStackAmounts(scope, kind, "sample.it's"),
  ]),
  selectStackSums: [statements.selectStackSums(scope)],
  selectSampleLabelNames: [sampleLabels.selectSampleLabelNames(scope)],
  selectSampleLabelUnit: [sampleLabels.selectSampleLabelUnit('acme', "it's")],
  selectSampleLabelValues: [sampleLabels.selectSampleLabelValues(scope, "it's", 10)],
  selectReplicates: [diff.selectReplicates(scope, 600, true)],
  selectReplicateSelves: [
    diff.selectReplicateSelves(scope, 600, ['api']),
    diff.selectReplicateSelves(scope, 600, []),
  ],
  selectStacks: [statements.selectStacks('acme', ['api'], ids), statements.selectStacks('acme', [], ids)],
  selectFrames: [statements.selectFrames('acme', ids)],
  selectFunctions: [statements.selectFunctions('acme', ids)],
  selectPeriods: [statements.selectPeriods(scope)],
  selectAgents: [statements.selectAgents('acme')],
}
const all = Object.entries(every).flatMap(([name, list]) => list.map(statement => ({ name, statement })))

test('every exported statement is looked at here', () => {
  expect(Object.keys(every).sort()).toEqual(Object.keys(modules).sort())
})

test.each(all)('$name: every table is read for one tenant', ({ statement: { sql, params } }) => {
  const tables = [...sql.matchAll(/\b(?:FROM|(?<!ARRAY )JOIN)\s+(?!\()(\w+)(?=(.{0,31}))/g)]
  expect(tables.length).toBeGreaterThan(0)
  for (const [, , after] of tables) expect(after).toMatch(/^ WHERE tenant = \{tenant:String\}/)
  expect(params.tenant).toBe('acme')
})

test.each(all)('$name: samples are read by the hour and the second', ({ statement: { sql } }) => {
  for (const [, after] of sql.matchAll(/\bFROM samples\b(?=(.*))/g)) {
    const [, first, last] =
      /time >= toDateTime\(\{(\w+):UInt32\}\) AND time < toDateTime\(\{(\w+):UInt32\}/.exec(after!)!
    expect(['from to', 'wideFrom wideTo', 'heldFrom to']).toContain(`${first} ${last}`)
    const [from, to] = [`{${first}:UInt32}`, `{${last}:UInt32}`]
    expect(after).toContain(
      `toStartOfHour(time) BETWEEN toStartOfHour(toDateTime(${from})) AND toStartOfHour(toDateTime(${to}))`,
    )
    expect(after).toContain(`time >= toDateTime(${from}) AND time < toDateTime(${to})`)
  }
})

test.each(all)('$name: text of users travels as parameters', ({ statement: { sql, params } }) => {
  for (const text of ['acme', 'api', "a'b", "it's", 'process_cpu', '1\\.']) expect(sql).not.toContain(text)
  for (const [, name] of sql.matchAll(/\{(\w+):\w+\}/g)) expect(params).toHaveProperty(name!)
})

test('a regular expression matches a whole value', () => {
  expect(Object.values(statements.selectStackSums(scope).params)).toContain('^(?s:1\\..*|2)$')
})

test('ids keep every digit', () => {
  expect(statements.selectFrames('acme', ids).sql).toContain('frame_id IN (1,18446744073709551615)')
})
