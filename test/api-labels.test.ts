/** Labels of samples and odd label names over the wire. */
import { gzipSync } from 'node:zlib'
import { encodePprof, type Profile } from '@strobe/profile'
import { profileFromColumns } from '@strobe/profile/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestServer, type TestServer } from './api-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server?.stop())

const range = { from: 'now-1h', to: 'now+1m' }
type Label = [sample: number, key: string, value: string | bigint, unit?: string]

function withLabels(profile: Profile, labels: Label[]): Profile {
  const labelStrings = [
    ...new Set(labels.flatMap(([, key, value, unit]) => [key, String(value), unit ?? ''])),
  ]
  const sorted = [...labels].sort((a, b) => a[0] - b[0])
  const samples = profile.stackOffset.length - 1
  return {
    ...profile,
    timeNanos: BigInt(Date.now() - 60_000) * 1_000_000n,
    labelOffset: Uint32Array.from(
      { length: samples + 1 },
      (_, sample) => sorted.filter(label => label[0] < sample).length,
    ),
    labelKey: Uint32Array.from(sorted, ([, key]) => labelStrings.indexOf(key)),
    labelString: Int32Array.from(sorted, ([, , value]) =>
      typeof value === 'string' ? labelStrings.indexOf(value) : -1,
    ),
    labelNumber: BigInt64Array.from(sorted, ([, , value]) => (typeof value === 'bigint' ? value : 0n)),
    labelUnit: Int32Array.from(sorted, ([, , , unit]) =>
      unit === undefined ? -1 : labelStrings.indexOf(unit),
    ),
    labelStrings,
  }
}

async function push(service: string, profile: Profile, labels: Record<string, string> = {}): Promise<void> {
  const parameters = Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [`label.${name}`, value]),
  )
  const { status, body } = await server.push(gzipSync(encodePprof(profile)), { service, ...parameters })
  expect(status, JSON.stringify(body)).toBe(200)
}

async function get<T>(path: string, parameters: Record<string, string | number>): Promise<T> {
  const { status, body } = await server.get(path, { ...range, ...parameters })
  expect(status, JSON.stringify(body)).toBe(200)
  return body as T
}
const total = async (query: string) =>
  (await get<{ total: number }>('functions', { type: 'cpu', query })).total

test('labels of samples are listed, filter, and split flame graphs and lines', async () => {
  const profile = withLabels(
    profileFromColumns(`
      1     2     4     8
      main  main  main  main
      read  read  write write`),
    [
      [0, 'thread name', 'main'],
      [1, 'thread name', 'worker'],
      [2, 'thread name', 'worker'],
      [2, 'request-bytes', 2n ** 62n + 1n, 'bytes'],
    ],
  )
  await push('labelled', profile, { host_name: 'h1' })
  const query = '{service_name="labelled"}'
  expect(await get('labels', { query })).toEqual({
    labels: ['host_name', 'service_name'],
    sampleLabels: ['sample.request_bytes', 'sample.thread_name'],
  })
  expect(await get('labels/sample.thread_name/values', { query })).toEqual({
    values: ['main', 'worker'],
    omitted: 0,
    unit: null,
  })
  // A name finds its label as it was sent, too.
  expect(await get('labels/sample.request-bytes/values', { query })).toEqual({
    values: [String(2n ** 62n + 1n)],
    omitted: 0,
    unit: 'bytes',
  })
  const of = (matcher: string) => total(`{service_name="labelled",${matcher}}`)
  expect(await of('"sample.thread_name"="worker"')).toBe(6)
  expect(await of('"sample.thread name"="worker"')).toBe(6)
  expect(await of('"sample.thread_name"!="worker"')).toBe(9)
  expect(await of('"sample.thread_name"=""')).toBe(8)
  expect(await of('"sample.thread_name"=~"m.*"')).toBe(1)
  expect(await of(`"sample.request_bytes"="${2n ** 62n + 1n}"`)).toBe(4)

  const split = await get<{ names: string[]; nodes: { name: number[]; parent: number[]; total: number[] } }>(
    'flamegraph',
    { type: 'cpu', query, group: 'label:sample.thread_name' },
  )
  const roots = split.nodes.parent.flatMap((parent, node) =>
    parent === 0 ? [[split.names[split.nodes.name[node]!], split.nodes.total[node]]] : [],
  )
  expect(roots).toEqual([
    ['[no sample.thread_name]', 8],
    ['worker', 6],
    ['main', 1],
  ])
  const lines = await get<{ series: { labels: Record<string, string> }[]; omitted: number }>('series', {
    type: 'cpu',
    query,
    by: 'host_name,sample.thread_name',
  })
  expect(lines.series.map(({ labels }) => Object.values(labels))).toEqual([
    ['h1', ''],
    ['h1', 'worker'],
    ['h1', 'main'],
  ])
  expect(lines.omitted).toBe(0)
})

test('no profile is lost for the name of a label, and each is found by the name it was sent with', async () => {
  const profile = withLabels(
    profileFromColumns(`
      1
      main`),
    [],
  )
  const names = { 'k8s.pod': 'a', 'k8s-pod': 'b', k8s_pod: 'c', ключ: 'd', '0': 'e', 'local root': 'f' }
  await push('odd', profile, names)
  await push('odd', profile, { 'k8s-pod': 'g' })
  const of = (name: string, value: string) =>
    total(`{service_name="odd",${JSON.stringify(name)}=${JSON.stringify(value)}}`)
  for (const [name, value] of Object.entries(names)) expect(await of(name, value), name).toBe(1)
  // Alone it has the plain name; the name it was sent with finds it either way.
  expect(await of('k8s_pod', 'g')).toBe(1)
  expect(await of('k8s-pod', 'g')).toBe(1)
  expect(await get('labels/k8s-pod/values', { query: '{service_name="odd"}' })).toEqual({
    values: ['b', 'g'],
    omitted: 0,
    unit: null,
  })
})

test('10,000 values of a label of samples: each is kept or counted as folded, and its weight stays', async () => {
  const perProfile = 1_250
  const profile = profileFromColumns(
    [Array(perProfile).fill('1').join(' '), Array(perProfile).fill('main').join(' ')].join('\n'),
  )
  const metric = async () => {
    const text = await (await fetch(new URL('metrics', server.url))).text()
    return Number(/dropped_total\{reason="sample_labels_folded"\} (\d+)/.exec(text)?.[1] ?? 0)
  }
  const before = await metric()
  await Promise.all(
    Array.from({ length: 8 }, (_, part) => {
      const labels = Array.from(
        { length: perProfile },
        (_, sample): Label => [sample, 'request', `r${part * perProfile + sample}`],
      )
      return push('many', withLabels(profile, labels))
    }),
  )
  expect(await total('{service_name="many"}')).toBe(10_000)
  expect(await total('{service_name="many","sample.strobe_folded"="true"}')).toBe(2_000)
  expect((await metric()) - before).toBe(2_000)
  const { values, omitted } = await get<{ values: string[]; omitted: number }>(
    'labels/sample.request/values',
    {
      query: '{service_name="many"}',
    },
  )
  expect([new Set(values).size, omitted]).toEqual([8_000, 0])
  expect(await total('{service_name="many","sample.request"="r0"}')).toBe(1)
})
