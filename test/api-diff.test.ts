/**
 * A diff of the demo's storefront, whose 2.8.0 formats prices by reflection: the weights of its stacks are in
 * cli/src/demo/services.ts. Two stacks below price.(*Formatter).Format, 3 and 1.5 of 75.5, weigh 3.4 times as
 * much, so that the whole takes 10.8 / 75.5 more.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DiffAnswer } from '../server/src/query/diff/query-diff.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'
import { sendDemo } from './demo-data.ts'

const main = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
const growth = 10.8 / 75.5
let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
  await sendDemo(server.grpcAddress, 1.5, 3)
})
afterAll(() => server?.stop())

const version = (name: string): string => `{service_name="storefront",service_version="${name}"}`
const versions = { queryA: version('2.7.0'), queryB: version('2.8.0') }
const lately = { fromA: 'now-36h', toA: 'now', fromB: 'now-36h', toB: 'now' }

async function diff(parameters: Record<string, string | number>): Promise<DiffAnswer> {
  const { status, body } = await server.get('diff', { type: 'cpu', ...parameters })
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

describe('a planted regression', () => {
  test('is found, sized and placed', async () => {
    const answer = await diff({ ...versions, ...lately })
    const found = answer.functions.filter(({ state }) => state === 'slower' || state === 'faster')
    expect(found.slice(0, 2).map(({ name, state }) => `${name} ${state}`)).toEqual([
      'strconv.AppendFloat slower',
      'reflect.(*rtype).MethodByName slower',
    ])
    // The demo draws anew each time: one diff in twenty may list another, which no verdict rests on.
    for (const { q } of found.slice(2)) expect(q).toBeGreaterThan(answer.settings.verdictRate)
    expect(answer.verdict.reason).toMatch(/^2 of /)
    expect(answer.verdict.state).toBe('slower')
    expect(answer.verdict.growth!.value).toBeCloseTo(growth, 2)
    expect(answer.cause!.path.at(-1)!.name).toBe('storefront/price.(*Formatter).Format')
    expect(answer.cause!.change).toBeCloseTo(growth, 2)
    // 3 of 75.5, and 3 x 3.4 of 86.3.
    expect(found[0]!.selfA).toBeCloseTo(3 / 75.5, 2)
    expect(found[0]!.selfB).toBeCloseTo(10.2 / 86.3, 2)
    expect(answer.a.instances).toBe(3)
  })

  test('sides add up to what the store holds', async () => {
    const answer = await diff({ ...versions, ...lately })
    for (const [side, query] of [
      [answer.a, versions.queryA],
      [answer.b, versions.queryB],
    ] as const) {
      const { body } = await server.get('functions', { type: 'cpu', query, from: 'now-36h', to: 'now' })
      expect(side.total).toBeCloseTo((body as { total: number }).total, -3)
    }
    const { nodes } = answer.tree
    const selves = (column: number[]) => column.reduce((sum, value) => sum + value, 0)
    expect(selves(nodes.selfA)).toBeCloseTo(nodes.totalA[0]!, 6)
    expect(selves(nodes.selfB)).toBeCloseTo(nodes.totalB[0]!, 6)
  })

  test('the other way round it is an improvement of the same functions', async () => {
    const answer = await diff({ queryA: versions.queryB, queryB: versions.queryA, ...lately })
    expect(answer.verdict.state).toBe('faster')
    expect(answer.verdict.growth!.value).toBeCloseTo(1 / (1 + growth) - 1, 2)
  })

  test('strobe diff tells the same, and fails a build', async () => {
    const args = ['diff', versions.queryA, versions.queryB, '--from', 'now-36h', '--fail-on', 'slower=10%']
    const result = await new Promise<{ code: number; out: string; err: string }>(resolve => {
      execFile(
        process.execPath,
        [main, ...args],
        { env: { ...process.env, STROBE_URL: server.url } },
        (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
      )
    })
    expect(result.code, result.err).toBe(4)
    expect(result.out).toMatch(/^Slower: 2 of \d+ functions went from 6\.\d % to 1[78]\.\d % of the time/m)
    expect(result.out).toContain('Most of it lies under storefront/price.(*Formatter).Format')
    expect(result.out).toMatch(/^worse .* strconv\.AppendFloat$/m)
  })
})

test('a change of load alone is no finding', async () => {
  const query = '{service_name="search-indexer"}'
  const answer = await diff({
    ...{ queryA: query, fromA: 'now-30h', toA: 'now-24h' },
    ...{ queryB: query, fromB: 'now-6h', toB: 'now' },
  })
  for (const { state, q } of answer.functions)
    if (state === 'slower' || state === 'faster') expect(q).toBeGreaterThan(answer.settings.verdictRate)
  expect(answer.verdict.state).toBe('no_evidence')
})

test.each([
  ['a side without profiles', { ...versions, ...lately, queryB: version('9.9') }, /side B has no samples/],
  ['both', { queryA: version('9.8'), queryB: version('9.9'), ...lately }, /side A has no samples/],
])('%s cannot be compared', async (_, parameters, reason) => {
  const { verdict } = await diff(parameters)
  expect(verdict.state).toBe('cannot_compare')
  expect(verdict.reason).toMatch(reason)
})

test('a level is no sum', async () => {
  await server.push(await readConformance('pprof/go-heap-small.pb.gz'), { service: 'heap' })
  const { status, body } = await server.get('diff', {
    ...{ type: 'inuse_space', queryA: '{service_name="heap"}', queryB: '{service_name="heap"}' },
    ...{ fromA: 'now-1h', toA: 'now+1m', fromB: 'now-1h', toB: 'now+1m' },
  })
  expect([status, body]).toMatchObject([400, { code: 'BAD_REQUEST' }])
})
