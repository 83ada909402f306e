import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultEngineSettings } from '../engine/settings.ts'
import { type Engine, startEngine } from '../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../storage/client.ts'
import { migrate } from '../storage/migrate.ts'
import { fromTable, type Scope, scopeParams, seriesConditions } from '../storage/select/statement.ts'
import { resolveSelector } from './selector.ts'

const cpu = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
const quiet = { info() {}, warn() {}, error() {} }
let folder: string
let engine: Engine
let client: StoreClient

// Label sets by name. The store keeps no label of empty value, as Prometheus.
const series: Record<string, Record<string, string>> = {
  one: { a: '1' },
  two: { a: '2', b: 'x' },
  lines: { a: '1\n2' },
  accents: { a: 'é1', b: 'x' },
  none: {},
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-selector-'))
  engine = await startEngine(defaultEngineSettings(folder), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 60_000 })
  await migrate(client)
  await client.insert({
    table: 'series',
    values: Object.entries(series).map(([id, labels], index) => ({
      tenant: 'acme',
      service: id === 'none' ? 'web' : 'api',
      type: cpu,
      series_id: String(index + 1),
      group_id: '1',
      labels: { id, service_name: id === 'none' ? 'web' : 'api', ...labels },
      first_seen: 1_700_000_000,
      last_seen: 1_700_000_000,
    })),
    format: 'JSONEachRow',
  })
})
afterAll(async () => {
  await client?.close()
  await engine?.stop()
  await rm(folder, { recursive: true, force: true })
})

async function select(query: string): Promise<string> {
  const scope: Scope = {
    tenant: 'acme',
    range: { from: 0, to: 4_000_000_000 },
    types: [],
    matchers: resolveSelector(query).matchers,
  }
  const params = scopeParams(scope)
  const result = await client.query({
    query: `SELECT labels['id'] AS id FROM ${fromTable('series')}${seriesConditions(scope, params)} ORDER BY series_id`,
    query_params: params,
    format: 'JSONEachRow',
  })
  return (await result.json<{ id: string }>()).map(({ id }) => id).join(' ')
}

const all = 'one two lines accents none'
test.each([
  ['{}', all],
  ['{a="1"}', 'one'],
  ['{a!="1"}', 'two lines accents none'],
  // A label of empty value and one that is not there are the same.
  ['{a=""}', 'none'],
  ['{a!=""}', 'one two lines accents'],
  ['{b=""}', 'one lines none'],
  ['{missing=""}', all],
  ['{missing!="x"}', all],
  ['{missing="x"}', ''],
  ['{missing!=""}', ''],
  ['{a=~""}', 'none'],
  ['{a!~""}', 'one two lines accents'],
  ['{a=~".*"}', all],
  ['{a=~".+"}', 'one two lines accents'],
  ['{a!~".+"}', 'none'],
  ['{a!~".*"}', ''],
  ['{missing=~"x|"}', all],
  // Anchored at both ends, around all branches.
  ['{a=~"1"}', 'one'],
  ['{a=~"1|2"}', 'one two'],
  ['{a!~"1|2"}', 'lines accents none'],
  ['{a=~"[0-9]"}', 'one two'],
  ['{a=~"^1$"}', 'one'],
  ['{a=~".*1"}', 'one accents'],
  ['{a=~"1.2"}', 'lines'],
  ['{a=~"1\\n2"}', 'lines'],
  ['{a=~"(?i)É1"}', 'accents'],
  ['{a=~`\\d`}', 'one two'],
  ['{a=~"\\\\d"}', 'one two'],
  ['{a="1",a="2"}', ''],
  ['{a!="1",a!="2"}', 'lines accents none'],
  ['{a=~".+",b="x"}', 'two accents'],
  ['{service_name="web"}', 'none'],
  ['{service_name=~"a.*|w",a!="1"}', 'two lines accents'],
  ['{service_name!~"api"}', 'none'],
  ['{"service_name"="api", "b"!=""}', 'two accents'],
])('%s selects: %s', async (query, wanted) => {
  expect(await select(query)).toBe(wanted)
})

const types = [cpu, 'memory:inuse_space:bytes:space:bytes', 'memory:alloc_space:bytes:space:bytes']
test.each([
  ['{}', '', '012'],
  ['process_cpu', 'process_cpu', '0'],
  [`${cpu}{a="b"}`, cpu, '0'],
  ['cpu{a="b"}', 'cpu', '0'],
  ['memory:inuse_space', 'memory:inuse_space', '1'],
  ['memory', 'memory', '12'],
  ['{__name__="inuse_space"}', 'inuse_space', '1'],
  ['{__name__!="cpu"}', '', '12'],
  ['{__name__=~"mem.*"}', '', '12'],
  ['{__name__=~"mem"}', '', ''],
  ['{__name__!~".*space"}', '', '0'],
  ['{__name__=~"memory:.*",__name__!="alloc_space"}', '', '1'],
  ['{__name__=""}', '', ''],
])('%s names "%s" and fits types %s', (query, metricName, fitting) => {
  const selector = resolveSelector(query)
  expect(selector.metricName).toBe(metricName)
  expect(types.flatMap((id, index) => (selector.fitsType(id) ? [index] : [])).join('')).toBe(fitting)
})

test.each([
  ['{a=~"x(y"}', 'BAD_REGEX', 5],
  ['{a="b", c!~"ok|z**"}', 'BAD_REGEX', 16],
  ['{__name__=~"[z-a]"}', 'BAD_REGEX', 13],
  ['{a=~"b)|(c"}', 'BAD_REGEX', 5],
  ['{a=~"(?=b)"}', 'BAD_REGEX', 5],
  ['{a=~"x{1001}"}', 'BAD_REGEX', 6],
  [`{a=~"${'x'.repeat(4097)}"}`, 'BAD_REGEX', 5],
  [`{${'a="b",'.repeat(51)}}`, 'BAD_SELECTOR', undefined],
])('%s is refused: %s at %s', (query, code, position) => {
  try {
    resolveSelector(query)
    expect.fail('accepted')
  } catch (error) {
    const { details, ...rest } = error as { code: string; details: { position?: number } }
    expect([rest.code, details.position]).toEqual([code, position])
  }
})
