/** Labels of samples in selectors and groups, for every kind of values, in a real engine. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Scope } from '../storage/select/statement.ts'
import { counter, cpu, gauge, openValues, type ValuesStore } from './testing.ts'

let store: ValuesStore
beforeAll(async () => {
  store = await openValues()
}, 60_000)
afterAll(() => store?.close(), 60_000)
const sets = {
  7: { labels: { thread: 'main' }, units: {} },
  8: { labels: { thread: 'worker', bytes: '4611686018427387905' }, units: { bytes: 'bytes' } },
  9: { labels: { k8s_pod: 'p', k8s_pod_e7a1c0de: 'q' }, units: {} },
}
beforeEach(async () => {
  store.nextTenant()
  await store.insert(
    'labelsets',
    Object.entries(sets).map(([id, set]) => ({ labelset_id: id, ...set })),
  )
  const series = [1, 2].map(id => ({
    service: 'api',
    type: cpu,
    series_id: String(id),
    labels: { service_name: 'api', host: `h${id}` },
  }))
  await store.insert('series', series)
})
const sample = (name: string, op: '=' | '!=' | '=~' | '!~', value: string): Scope['matchers'] => [
  { name: `sample.${name}`, op, value },
]
test.each([
  ['equal', sample('thread', '=', 'main'), { 1: 10n }],
  ['not equal takes those without', sample('thread', '!=', 'main'), { 1: 5n, 2: 1n }],
  ['empty is those without', sample('thread', '=', ''), { 1: 1n }],
  ['a pattern', sample('thread', '=~', 'main|work.*'), { 1: 14n, 2: 1n }],
  ['a pattern that takes those without', sample('thread', '=~', '|worker'), { 1: 5n, 2: 1n }],
  ['not a pattern', sample('thread', '!~', '.+'), { 1: 1n }],
  ['a number of 64 bits', sample('bytes', '=', '4611686018427387905'), { 1: 4n, 2: 1n }],
  ['none', sample('thread', '=', 'x'), {}],
])('%s', async (_, matchers, want) => {
  await store.send(cpu, [{ series: 1, at: 0, values: { '1/7': 10, '1/8': 4, '2/8': 1, '1/0': 1 } }])
  expect((await store.sums(cpu, 0, 60, matchers)).weights).toEqual(want)
})

test('a counter of one label gains what that label gained', async () => {
  await store.send(counter, [
    { series: 1, at: 0, values: { '1/7': 10, '1/8': 100 } },
    { series: 1, at: 60, values: { '1/7': 15, '1/8': 130, '2/8': 2 } },
    { series: 1, at: 120, values: { '1/7': 15, '1/8': 131, '2/8': 2 } },
  ])
  expect((await store.sums(counter, 0, 121, sample('thread', '=', 'worker'))).weights).toEqual({
    1: 31n,
    2: 2n,
  })
  const lines = await store.seriesOf(counter, 0, 180, 3, ['sample.thread'])
  expect(lines.map(({ labels, points }) => [labels, points.map(([, value]) => value)])).toEqual([
    [{ 'sample.thread': 'worker' }, [null, 32 / 60, 1 / 60]],
    [{ 'sample.thread': 'main' }, [null, 5 / 60, 0]],
  ])
})

test('a line for each thread, over the time that the profiles cover', async () => {
  await store.send(cpu, [
    { series: 1, at: 0, durationSeconds: 10, values: { '1/7': 5e9, '1/8': 2e9, '1/0': 1e9 } },
    { series: 2, at: 10, durationSeconds: 10, values: { '1/7': 10e9 } },
  ])
  const lines = await store.seriesOf(cpu, 0, 20, 2, ['sample.thread'])
  expect(
    lines.map(({ labels, points }) => [labels['sample.thread'], points.map(([, value]) => value)]),
  ).toEqual([
    ['main', [0.5, 1]],
    ['worker', [0.2, 0]],
    ['', [0.1, 0]],
  ])
  const byHost = await store.seriesOf(cpu, 0, 20, 2, ['host', 'sample.thread'])
  expect(
    byHost.map(({ labels, points }) => [...Object.values(labels), ...points.map(([, value]) => value)]),
  ).toEqual([
    ['h2', 'main', null, 1],
    ['h1', 'main', 0.5, null],
    ['h1', 'worker', 0.2, null],
    ['h1', '', 0.1, null],
  ])
})

test('a gauge by label', async () => {
  await store.send(gauge, [
    { series: 1, at: 0, values: { '1/7': 100 } },
    { series: 1, at: 30, values: { '1/7': 100, '1/8': 50 } },
  ])
  const { weights, divisor } = await store.sums(gauge, 0, 60, sample('thread', '=', 'worker'))
  expect([weights, divisor]).toEqual([{ 1: 1500n }, 60])
})
