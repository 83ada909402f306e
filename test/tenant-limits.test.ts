import { gzipSync } from 'node:zlib'
import { encodePprof, type Profile } from '@strobe/profile'
import { connectIngest } from '@strobe/server'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestServer, type TestServer } from './api-server.ts'
import { makeBatch } from './ingest-process.ts'

let server: TestServer
let agent: ReturnType<typeof connectIngest>

beforeAll(async () => {
  server = await startTestServer()
  agent = connectIngest(server.grpcAddress)
})
afterAll(async () => {
  agent?.close()
  await server?.stop()
})

async function set(limits: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(limits)) {
    const url = new URL(`api/v1/admin/tenants/default/settings/${name}?value=${value}`, server.url)
    const response = await fetch(url, { method: 'PUT', headers: { 'content-type': 'application/json' } })
    expect(response.status).toBe(200)
  }
}

/** One stack of so many frames `f0` (root) to `fN` (leaf), and `samples` others of one frame. */
function profileOf(depth: number, samples = 0): Uint8Array {
  const cpu = { type: 'cpu', unit: 'nanoseconds' }
  const names = Array.from({ length: Math.max(depth, samples) }, (_, index) => `f${index}`)
  const profile: Profile = {
    sampleTypes: [{ type: 'samples', unit: 'count' }, cpu],
    defaultSampleType: '',
    periodType: cpu,
    period: 10n,
    timeNanos: BigInt(Date.now()) * 1_000_000n,
    durationNanos: 1_000_000_000n,
    comments: [],
    mappings: [],
    functions: names.map(name => ({ name, systemName: name, file: '', startLine: 0 })),
    locationAddress: new BigUint64Array(names.length),
    locationMapping: new Int32Array(names.length).fill(-1),
    lineOffset: Uint32Array.from({ length: names.length + 1 }, (_, index) => index),
    lineFunction: Int32Array.from(names.keys()),
    lineNumber: new Uint32Array(names.length),
    stackOffset: Uint32Array.from({ length: samples + 2 }, (_, index) =>
      index === 0 ? 0 : depth + index - 1,
    ),
    stackLocation: Uint32Array.from([
      ...Array.from({ length: depth }, (_, index) => depth - 1 - index),
      ...Array.from({ length: samples }, (_, index) => index),
    ]),
    values: BigInt64Array.from({ length: 2 * (samples + 1) }, (_, index) => (index % 2 === 0 ? 3n : 30n)),
    labelOffset: new Uint32Array(samples + 2),
    labelKey: new Uint32Array(0),
    labelString: new Int32Array(0),
    labelNumber: new BigInt64Array(0),
    labelUnit: new Int32Array(0),
    labelStrings: [],
  }
  return encodePprof(profile)
}

async function push(bytes: Uint8Array, parameters: Record<string, string> = {}) {
  const url = new URL('api/v1/profiles', server.url)
  for (const [name, value] of Object.entries({ service: 'limits', ...parameters }))
    url.searchParams.set(name, value)
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: new Uint8Array(bytes),
  })
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: (await response.json()) as { code?: string; message: string; details: Record<string, unknown> },
  }
}

const defaults = Object.fromEntries(
  'bytes_per_second active_series unpacked_bytes batch_profiles profile_samples stack_depth series_labels label_value_bytes past_window'
    .split(' ')
    .map(name => [name, '']),
)
beforeEach(() => set(defaults))

test.each([
  ['unpacked_bytes', '2KiB', 413, 'UNPACKED_TOO_LARGE', 2048, 2049, {}],
  ['profile_samples', '10', 413, 'SAMPLES_TOO_MANY', 10, 200, {}],
  ['series_labels', '2', 400, 'LABELS_TOO_MANY', 2, 3, { 'label.a': '1', 'label.b': '2' }],
  ['label_value_bytes', '16', 400, 'LABEL_TOO_LONG', 16, 20, { 'label.pod': 'x'.repeat(20) }],
] as const)(
  '%s = %s: %i %s, and nothing is stored',
  async (name, value, status, code, limit, observed, labels) => {
    await set({ [name]: value })
    const answer = await push(gzipSync(profileOf(1, 200)), { service: `refused-${name}`, ...labels })
    expect(answer).toMatchObject({
      status,
      body: { code, details: { limitName: name, limit, observed, tenant: 'default' } },
    })
    for (const fact of [String(limit), `limit ${name} of tenant default`])
      expect(answer.body.message).toContain(fact)
    expect(
      JSON.stringify((await server.get('services', { from: 'now-1h', to: 'now+1m' })).body),
    ).not.toContain(`refused-${name}`)
    const metrics = await (await fetch(new URL('metrics', server.url))).text()
    expect(metrics).toContain(
      `strobe_ingest_refused_total{protocol="upload",code="${code}",tenant="default"} 1`,
    )
  },
)

test('a time outside the window is refused with both times', async () => {
  await set({ past_window: '1h' })
  const old = makeBatch(90, Date.now() - 2 * 3_600_000)
  await expect(agent.write(old)).rejects.toThrow(
    /TIME_OUT_OF_WINDOW: the profile starts at .* and was received at .* from 1h before to 10m after receipt \(limit past_window of tenant default/,
  )
  await set({ past_window: '3h' })
  expect(await agent.write(old)).toMatchObject({ duplicate: false })
})

test('bytes per second: 429 with the time that it takes, over HTTP and gRPC', async () => {
  await set({ bytes_per_second: '1' })
  const body = profileOf(1, 2_000)
  // The burst is the largest body, 16 MiB: it takes a few to use it up.
  const filler = new Uint8Array(9 * 2 ** 20)
  expect((await push(filler)).status).toBe(400)
  const refused = await push(filler)
  expect(refused).toMatchObject({
    status: 429,
    body: { code: 'RATE_LIMITED', details: { limitName: 'bytes_per_second', limit: 1, tenant: 'default' } },
  })
  const { retryAfterMs } = refused.body.details as { retryAfterMs: number }
  // 2 MiB are missing, a byte a second.
  expect(retryAfterMs / 1000).toBeGreaterThan(2 * 2 ** 20 - 60)
  expect(refused.retryAfter).toBe(String(Math.ceil(retryAfterMs / 1000)))
  // What is left is enough for a small one.
  expect((await push(body)).status).toBe(200)
  while ((await push(new Uint8Array(2 ** 20))).status !== 429);
  while ((await push(new Uint8Array(64))).status !== 429);
  const error = (await agent.write(makeBatch(1)).catch((failure: unknown) => failure)) as {
    code: number
    details: string
    metadata: { get(name: string): unknown[] }
  }
  expect(error.code).toBe(8)
  expect(error.details).toMatch(/^RATE_LIMITED: .*limit bytes_per_second of tenant default/)
  expect(error.metadata.get('strobe-error-code')).toEqual(['RATE_LIMITED'])
  expect(Number(error.metadata.get('strobe-retry-after-ms')[0])).toBeGreaterThan(0)
})

test('active series: known ones go on, new ones are refused', async () => {
  expect(await agent.write(makeBatch(20))).toMatchObject({ profiles: 3 })
  await set({ active_series: '1' })
  const again = makeBatch(20)
  again.batchId = Buffer.from('another batch 20')
  expect(await agent.write(again)).toMatchObject({ profiles: 3, duplicate: false })
  await expect(agent.write(makeBatch(21))).rejects.toThrow(/SERIES_TOO_MANY: .* 3 more would pass/)
})

test('profiles of a batch', async () => {
  await set({ batch_profiles: '2' })
  await expect(agent.write(makeBatch(30))).rejects.toThrow(
    /PROFILES_TOO_MANY: .* has 3 profiles, the limit is 2/,
  )
})

test('a deep stack keeps its leaf side, marked and counted', async () => {
  await set({ stack_depth: '100' })
  expect((await push(profileOf(5_000), { service: 'deep' })).status).toBe(200)
  const range = { type: 'cpu', query: '{service_name="deep"}', from: 'now-1h', to: 'now+1m' }
  const { body } = await server.get('functions', { ...range, limit: 10_000 })
  const { functions, total, meta } = body as {
    functions: { name: string; self: number; total: number }[]
    total: number
    meta: { truncated: number }
  }
  // f4900 to f4999, and the mark.
  expect(functions).toHaveLength(101)
  expect(functions.find(each => each.name === '[truncated]')).toMatchObject({ self: 0, total: 30 })
  expect(functions.find(each => each.name === 'f4999')).toMatchObject({ self: 30 })
  expect(functions.some(each => each.name === 'f4899')).toBe(false)
  // Three samples, as its column of counts says.
  expect([total, meta.truncated]).toEqual([30, 3])
})

test('no name of a label loses a profile', async () => {
  const names = { 'label.k8s-pod': 'a', 'label.k8s.pod': 'b', [`label.${'n'.repeat(300)}`]: 'c' }
  expect((await push(profileOf(1), { service: 'odd', ...names })).status).toBe(200)
  const { body } = await server.get('labels', { query: '{service_name="odd"}', from: 'now-1h', to: 'now+1m' })
  const { labels } = body as { labels: string[] }
  expect(labels.map(label => label.replace(/_[0-9a-f]{8}$/, '_HASH'))).toEqual([
    'k8s_pod',
    'k8s_pod_HASH',
    `${'n'.repeat(191)}_HASH`,
    'service_name',
  ])
})
