import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRequestMetrics } from './api/request-metrics.ts'
import { readConfig } from './config.ts'
import { defaultEngineSettings } from './engine/settings.ts'
import { type Engine, startEngine } from './engine/supervisor.ts'
import { createFakeStore } from './query/tree/testing.ts'
import { createQuerySide } from './query-side.ts'
import { createStoreClient, type StoreClient } from './storage/client.ts'
import { migrate } from './storage/migrate.ts'
import { selectTypes } from './storage/select/statements.ts'

const quiet = { info() {}, warn() {}, error() {} }
let folder: string
let engine: Engine
let client: StoreClient

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-query-side-'))
  engine = await startEngine(defaultEngineSettings(folder), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 60_000 })
  await migrate(client)
})
afterAll(async () => {
  await client?.close()
  await engine?.stop()
  await rm(folder, { recursive: true, force: true })
})

function createSide(flags: Parameters<typeof readConfig>[0], settings: Record<string, string> = {}) {
  const lines: Record<string, unknown>[] = []
  const registry = new Registry()
  const side = createQuerySide({
    client,
    config: readConfig({ dataDir: folder, ...flags }, {}),
    metrics: createRequestMetrics(registry),
    log: pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) }),
    now: Date.now,
    levels: { shortKeepMs: 0 },
    keptFrom: () => 0,
    groupLabels: () => [],
    valuesOf: () => new Map(Object.entries(settings)),
  })
  return { ...side, lines, registry }
}

const scope = { tenant: 'acme', range: { from: 1_700_000_000, to: 1_700_003_600 }, types: [], matchers: [] }
const usage = () => ({ rowsRead: 0, bytesRead: 0 })

async function runTree({ context }: ReturnType<typeof createSide>): Promise<void> {
  const store = createFakeStore([{ name: 'f' }], [{ frames: [0], value: 1n }])
  const request = {
    tenant: 'acme',
    group: 'function',
    focus: '',
    hide: '',
    divisor: 1,
    work: { kind: 'flamegraph', nodes: 10, depth: 10, at: '' },
    limits: context.treeLimits,
  } as const
  await context.trees.run(request, store.sums(), store.load, undefined)
}

test('slow statements and trees are logged with tenant, cost and times; both are counted by name', async () => {
  const side = createSide({ slowQueryMs: '0' })
  await side.context.reader.rows(selectTypes(scope), usage(), undefined)
  await runTree(side)
  await side.stop()
  expect(side.lines).toEqual([
    expect.objectContaining({
      msg: 'slow statement',
      statement: 'types',
      tenant: 'acme',
      elapsedMs: expect.any(Number),
      waitedMs: expect.any(Number),
      rowsRead: 0,
      bytesRead: 0,
    }),
    expect.objectContaining({
      msg: 'slow tree',
      statement: 'flamegraph',
      tenant: 'acme',
      cpuMs: expect.any(Number),
      elapsedMs: expect.any(Number),
    }),
  ])
  const text = await side.registry.metrics()
  expect(text).toContain('strobe_store_statement_seconds_count{statement="types"} 1')
  expect(text).toContain('strobe_store_statement_wait_seconds_count{statement="types"} 1')
  expect(text).toContain('strobe_tree_cpu_seconds_count{kind="flamegraph"} 1')
  expect(text).toContain('strobe_tree_jobs{thread="trees"} 0')
  expect(text).toContain('strobe_stack_cache_lookups{thread="trees",outcome="miss"} 1')
  expect(text).toMatch(/strobe_stack_cache_bytes\{thread="trees"\} \d{4,}/)
})

test('what is quick is not logged; a failure is counted by its code', async () => {
  const side = createSide({ slowQueryMs: '1h' })
  await side.context.reader.rows(selectTypes(scope), usage(), undefined)
  await runTree(side)
  const broken = { ...selectTypes(scope), sql: 'SELECT nonsense' }
  await expect(side.context.reader.rows(broken, usage(), undefined)).rejects.toMatchObject({
    code: 'STORE_FAILED',
  })
  await side.stop()
  expect(side.lines).toEqual([])
  expect(await side.registry.metrics()).toContain(
    'strobe_store_statement_failures_total{statement="types",code="STORE_FAILED"} 1',
  )
})

test("a tenant's own settings bound its line", async () => {
  const side = createSide({}, { query_statements: '1', query_waiting: '1' })
  const slow = {
    ...selectTypes(scope),
    sql: 'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))',
  }
  const controller = new AbortController()
  const { reader } = side.context
  const running = reader.rows(slow, usage(), controller.signal)
  const waiting = reader.rows(selectTypes(scope), usage(), undefined)
  await expect(reader.rows(selectTypes(scope), usage(), undefined)).rejects.toMatchObject({
    code: 'QUERIES_TOO_MANY',
    details: { limitName: 'query_waiting', limit: 1, observed: 1, tenant: 'acme' },
  })
  // Another tenant goes by.
  await reader.rows(selectTypes({ ...scope, tenant: 'other' }), usage(), undefined)
  controller.abort()
  await expect(running).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  expect(await waiting).toEqual([])
  await side.stop()
})
