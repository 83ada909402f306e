import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ maxUploadBytes: '64KiB' })
  const bytes = await readConformance('pprof/go-cpu-fib.pb.gz')
  for (const [service, host] of [
    ['api', 'h1'],
    ['api', 'h2'],
    ['web', 'h1'],
  ] as const)
    await server.push(bytes, { service, 'label.host_name': host, 'label.service_version': '1.2' })
})
afterAll(() => server?.stop())

const range = { from: 'now-1h', to: 'now+1m' }

/** fetch does not let a test choose Host and Origin. */
function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
): Promise<{ status: number; code: string; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port: server.port, method, path, headers }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => {
        text += part
      })
      response.on('end', () => {
        let code = ''
        try {
          code = (JSON.parse(text) as { code?: string }).code ?? ''
        } catch {
          // Not every answer is JSON.
        }
        resolve({ status: response.statusCode!, code, headers: response.headers })
      })
    })
    call.on('error', reject)
    call.end(body)
  })
}

test.each([
  ['a rebound name', 'GET', '/api/v1/services', { host: 'evil.example' }, 421, 'HOST_NOT_ALLOWED'],
  [
    'a foreign page',
    'GET',
    '/api/v1/services',
    { host: 'localhost', origin: 'http://evil.example' },
    403,
    'ORIGIN_NOT_ALLOWED',
  ],
  [
    'a form',
    'POST',
    '/api/v1/profiles?service=x',
    { host: 'localhost', 'content-type': 'text/plain' },
    415,
    'CONTENT_TYPE_NOT_ALLOWED',
  ],
  [
    'a form that deletes',
    'DELETE',
    '/api/v1/demo-data',
    { host: 'localhost' },
    415,
    'CONTENT_TYPE_NOT_ALLOWED',
  ],
  [
    'deleting what is no demo',
    'DELETE',
    '/api/v1/demo-data',
    { host: 'localhost', 'content-type': 'application/json' },
    403,
    'NOT_DEMO',
  ],
  ['metrics for a rebound name', 'GET', '/metrics', { host: 'evil.example' }, 421, 'HOST_NOT_ALLOWED'],
  ['an unknown path', 'GET', '/api/v1/nothing', { host: 'localhost' }, 404, 'NOT_FOUND'],
  ['another method', 'PUT', '/api/v1/services', { host: 'localhost' }, 405, 'METHOD_NOT_ALLOWED'],
  ['a broken escape', 'GET', '/api/v1/labels/%E0%A4%A/values', { host: 'localhost' }, 400, 'BAD_REQUEST'],
  ['health', 'GET', '/healthz', { host: 'localhost' }, 200, ''],
  ['readiness', 'GET', '/readyz', { host: 'localhost' }, 200, ''],
])('%s', async (_name, method, path, headers, status, code) => {
  expect(await send(method, path, headers)).toMatchObject({ status, code })
})

test('a body over the limit is refused before it is read', async () => {
  const big = new Uint8Array(70_000)
  const { status, body } = await server.push(big, { service: 'big' })
  expect([status, (body as { code: string }).code]).toEqual([413, 'BODY_TOO_LARGE'])
})

test.each([
  ['functions', { type: 'nope' }, 404, 'TYPE_UNKNOWN'],
  ['functions', {}, 400, 'BAD_REQUEST'],
  ['functions', { type: 'cpu', limit: 0 }, 400, 'BAD_REQUEST'],
  ['functions', { type: 'cpu', typo: 1 }, 400, 'BAD_REQUEST'],
  ['functions', { type: 'cpu', query: '{a=' }, 400, 'BAD_SELECTOR'],
  ['functions', { type: 'cpu', query: '{a=~"(?<=x)"}' }, 400, 'BAD_REGEX'],
  ['functions', { type: 'cpu', from: 'yesterday' }, 400, 'BAD_TIME'],
  ['functions', { type: 'cpu', from: 'now', to: 'now-1h' }, 400, 'BAD_TIME'],
  ['flamegraph', { type: 'cpu', at: 'main' }, 400, 'BAD_REQUEST'],
  ['flamegraph', { type: 'cpu', at: '["not there"]', ...range }, 404, 'NOT_FOUND'],
])('%s %o is refused: %i %s', async (path, parameters, status, code) => {
  const answer = await server.get(path, parameters as Record<string, string | number>)
  expect([answer.status, (answer.body as { code: string }).code]).toEqual([status, code])
})

test.each([
  ['{}', 3],
  ['', 3],
  ['{service_name="api"}', 2],
  ['{service_name!="api"}', 1],
  ['{service_name=~"a.*"}', 2],
  ['{service_name=~"p"}', 0],
  ['{host_name="h1"}', 2],
  ['{host_name=~"h1|h2",service_name="api"}', 2],
  ['{host_name!~"h.",service_name="api"}', 0],
  ['{absent=""}', 3],
  ['{absent!=""}', 0],
  ['process_cpu{host_name="h2"}', 1],
])('%s matches %i profiles', async (query, profiles) => {
  const { body } = await server.get('functions', { type: 'cpu', query, ...range })
  expect((body as { meta: { profiles: number } }).meta.profiles).toBe(profiles)
  expect((body as { total: number }).total).toBe(profiles * 29_740_000_000)
})

test('services say instances, versions and cores', async () => {
  const { body } = await server.get('services', range)
  const { services } = body as { services: Record<string, unknown>[] }
  expect(services).toMatchObject([
    { name: 'api', instances: 2, versions: ['1.2'] },
    { name: 'web', instances: 1 },
  ])
  // 29.74 CPU seconds in a profile of 30.156835758 s.
  expect(services[1]!.cores).toBeCloseTo(29.74 / 30.156, 2)
})

test('labels and their values', async () => {
  expect((await server.get('labels', range)).body).toEqual({
    labels: ['host_name', 'service_name', 'service_version'],
    sampleLabels: [],
  })
  expect(
    (await server.get('labels/host_name/values', { ...range, query: '{service_name="web"}' })).body,
  ).toEqual({ values: ['h1'], omitted: 0, unit: null })
})

test('a series by host has a line for each, and nulls where nothing reported', async () => {
  const { body } = await server.get('series', {
    type: 'cpu',
    query: '{service_name="api"}',
    by: 'host_name',
    ...range,
  })
  const { unit, series } = body as {
    unit: string
    series: { labels: object; points: [number, number | null][] }[]
  }
  expect(unit).toBe('cores')
  expect(series.map(({ labels }) => labels)).toEqual(
    expect.arrayContaining([{ host_name: 'h1' }, { host_name: 'h2' }]),
  )
  for (const { points } of series) {
    const values = points.flatMap(([, value]) => (value === null ? [] : [value]))
    expect(values).toHaveLength(1)
    expect(values[0]).toBeCloseTo(29.74 / 30.156, 2)
    expect(points.length).toBeLessThanOrEqual(300)
  }
})

test('a tree can be opened further down', async () => {
  const { body } = await server.get('flamegraph', {
    type: 'cpu',
    query: '{service_name="web"}',
    at: '["main.calculateFib"]',
    ...range,
  })
  const tree = body as { total: number; names: string[]; nodes: { name: number[]; parent: number[] } }
  expect(tree.total).toBe(29_500_000_000)
  expect(tree.names[tree.nodes.name[0]!]).toBe('main.calculateFib')
  expect(tree.nodes.parent[0]).toBe(-1)
})

test('folded text adds up to the total', async () => {
  const url = `${server.url}api/v1/profile?${new URLSearchParams({ type: 'cpu', query: '{service_name="web"}', format: 'folded', ...range })}`
  const lines = (await (await fetch(url)).text()).trim().split('\n')
  const sum = lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  expect(sum).toBe(29_740_000_000)
})

test('the page carries a policy without inline scripts', async () => {
  const { headers } = await send('GET', '/', { host: 'localhost' })
  expect(headers['content-security-policy']).toMatch(/default-src 'self'; script-src 'self';/)
  expect(headers['x-content-type-options']).toBe('nosniff')
})

test('the document of the API lists every route', async () => {
  const { body } = await server.get('openapi.json')
  const { openapi, paths } = body as { openapi: string; paths: Record<string, object> }
  expect(openapi).toBe('3.1.0')
  expect(Object.keys(paths).sort()).toEqual([
    '/admin/backups',
    '/admin/keys',
    '/admin/keys/{id}',
    '/admin/tenants',
    '/admin/tenants/{tenant}',
    '/admin/tenants/{tenant}/deletion',
    '/admin/tenants/{tenant}/settings/{name}',
    '/agents',
    '/demo-data',
    '/diff',
    '/flamegraph',
    '/functions',
    '/labels',
    '/labels/{name}/values',
    '/profile',
    '/profile-types',
    '/profiles',
    '/series',
    '/services',
    '/status',
  ])
})
