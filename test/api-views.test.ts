import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

const run = promisify(execFile)
let server: TestServer
let folder: string
let original: string

beforeAll(async () => {
  server = await startTestServer()
  folder = await mkdtemp(join(tmpdir(), 'strobe-views-'))
  original = join(folder, 'original.pb.gz')
  const bytes = await readConformance('pprof/go-cpu-labels.pb.gz')
  await writeFile(original, bytes)
  for (const zone of ['north', 'south', ''])
    expect(
      (await server.push(bytes, { service: 'web', ...(zone === '' ? {} : { 'label.zone': zone }) })).status,
    ).toBe(200)
})
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Functions {
  total: number
  whole: number
  functions: { name: string; file: string; self: number; total: number }[]
}
interface Tree {
  total: number
  whole: number
  names: string[]
  nodes: { name: number[]; parent: number[]; self: number[]; total: number[] }
  omitted: { nodes: number; weight: number }
}
const selection = { type: 'cpu', query: '{service_name="web"}', from: 'now-1h', to: 'now+1m' }
const copies = 3

async function ask<T>(path: string, parameters: Record<string, string | number> = {}): Promise<T> {
  const { status, body } = await server.get(path, { ...selection, ...parameters })
  expect([status, body]).toEqual([200, expect.anything()])
  return body
}

/** Flat and cumulative ms of each entry, and the total, as `go tool pprof` has them. */
async function pprofTop(file: string, options: string[]) {
  const { stdout } = await run('go', [
    ...['tool', 'pprof', '-symbolize=none', '-top', '-nodefraction=0', '-nodecount=100000', '-unit=ms'],
    ...options,
    file,
  ])
  const total = Number.parseFloat(/(?:of|accounting for) ([\d.]+)ms/.exec(stdout)?.[1] ?? 'nan')
  const entries = new Map<string, { self: number; total: number }>()
  for (const line of stdout.split('\n')) {
    const columns = line.trim().split(/\s+/)
    if (!/^[\d.]+(ms)?$/.test(columns[0] ?? '') || columns.length < 6) continue
    const name = columns
      .slice(5)
      .join(' ')
      .replace(/ \((partial-)?inline\)$/, '')
    entries.set(name, { self: Number.parseFloat(columns[0]!), total: Number.parseFloat(columns[3]!) })
  }
  return { total, entries }
}

const hasGo = spawnSync('go', ['version']).status === 0
const label = hasGo ? '' : ' (not run: go is not installed)'

test.runIf(hasGo).each<[Record<string, string>, string[]]>([
  [{}, []],
  [{ focus: 'fmt\\.' }, ['-focus=fmt\\.']],
  [{ focus: 'mallocgc|cpuHog' }, ['-focus=mallocgc|cpuHog']],
  [{ hide: '^runtime\\.' }, ['-hide=^runtime\\.']],
  [{ focus: 'runtime\\.mallocgc', hide: 'fmt' }, ['-focus=runtime\\.mallocgc', '-hide=fmt']],
  [{ group: 'file' }, ['-files']],
  [{ group: 'file', focus: 'doPrintf' }, ['-files', '-focus=doPrintf']],
])(`functions with %o are what go tool pprof shows with %o${label}`, async (view, options) => {
  const answer = await ask<Functions>('functions', { ...view, limit: 10_000 })
  const wanted = await pprofTop(original, options)
  const found = new Map(answer.functions.map(each => [each.name, each]))
  expect(wanted.entries.size).toBeGreaterThan(5)
  for (const [name, { self, total }] of wanted.entries)
    expect([name, found.get(name)?.self, found.get(name)?.total]).toEqual([
      name,
      self * 1e6 * copies,
      total * 1e6 * copies,
    ])
})

test.runIf(hasGo)(`an exported view reads the same in go tool pprof${label}`, async () => {
  for (const [view, options] of [
    [{ focus: 'fmt\\.', hide: 'mallocgc' }, ['-focus=fmt\\.', '-hide=mallocgc']],
    [{ group: 'file' }, ['-files']],
  ] as const) {
    const url = new URL('api/v1/profile', server.url)
    url.search = new URLSearchParams({ ...selection, ...view }).toString()
    const out = join(folder, 'view.pb.gz')
    await writeFile(out, Buffer.from(await (await fetch(url)).arrayBuffer()))
    const [got, wanted] = [await pprofTop(out, []), await pprofTop(original, [...options])]
    for (const [name, { self, total }] of wanted.entries)
      expect([name, got.entries.get(name)]).toEqual([name, { self: self * copies, total: total * copies }])
  }
})

test('what passes through a regex is counted once per stack', async () => {
  const all = await ask<Functions>('functions', { limit: 10_000 })
  // Recursion and several matches on one stack: no sum of totals can be right.
  const matching = all.functions.filter(({ name }) => /fmt\./.test(name))
  const through = await ask<Functions>('functions', { focus: 'fmt\\.' })
  const tree = await ask<Tree>('flamegraph', { focus: 'fmt\\.' })
  expect(through.whole).toBe(all.total)
  expect([tree.total, tree.whole]).toEqual([through.total, all.total])
  expect(through.total).toBeLessThan(matching.reduce((sum, { total }) => sum + total, 0))
  expect(through.total).toBeGreaterThanOrEqual(Math.max(...matching.map(({ total }) => total)))
})

test('a label stands above the functions, and parts them exactly', async () => {
  const whole = await ask<Tree>('flamegraph')
  const tree = await ask<Tree>('flamegraph', { group: 'label:zone', nodes: 20_000 })
  const roots = tree.nodes.parent.flatMap((parent, node) =>
    parent === 0 ? [[tree.names[tree.nodes.name[node]!], tree.nodes.total[node]] as const] : [],
  )
  const third = whole.total / copies
  expect(Object.fromEntries(roots)).toEqual({ north: third, south: third, '[no zone]': third })
  const table = await ask<Functions>('functions', { group: 'label:zone' })
  expect(table.functions.map(({ name, self, total }) => [name, self, total]).sort()).toEqual(
    ['[no zone]', 'north', 'south'].map(name => [name, third, third]),
  )
})

test.each(['function', 'file', 'line', 'module', 'package', 'label:zone'])(
  'by %s nothing is lost, in any file',
  async group => {
    const { total } = await ask<Tree>('flamegraph')
    const tree = await ask<Tree>('flamegraph', { group, nodes: 50 })
    expect(tree.total).toBe(total)
    expect(tree.nodes.self.reduce((sum, value) => sum + value, 0)).toBe(total)
    for (const format of ['folded', 'json', 'speedscope'])
      expect([format, await exportedTotal(format, group)]).toEqual([format, total])
  },
)

async function exportedTotal(format: string, group: string): Promise<number> {
  const url = new URL('api/v1/profile', server.url)
  url.search = new URLSearchParams({ ...selection, group, format }).toString()
  const text = await (await fetch(url)).text()
  if (format === 'folded')
    return text
      .trim()
      .split('\n')
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  const file = JSON.parse(text)
  if (format === 'json') return file.total
  return file.profiles[0].weights.reduce((sum: number, weight: number) => sum + weight, 0)
}

test.each([
  ['focus', 'a(b', 'BAD_REGEX', 0],
  ['hide', 'ok|x**', 'BAD_REGEX', 4],
  ['focus', '(?=x)', 'BAD_REGEX', 0],
  ['hide', '[z-a]', 'BAD_REGEX', 1],
])('%s=%s is refused at its place', async (name, pattern, code, position) => {
  for (const path of ['flamegraph', 'functions', 'profile']) {
    const { status, body } = await server.get(path, { ...selection, [name]: pattern })
    expect([status, body]).toEqual([
      400,
      expect.objectContaining({ code, details: expect.objectContaining({ what: name, position }) }),
    ])
  }
})

test('a pattern made to be slow is not', async () => {
  const startedAt = performance.now()
  await ask<Functions>('functions', { focus: '(a+)+$|(.*.*)*x' })
  expect(performance.now() - startedAt).toBeLessThan(5000)
})

test.each(['', 'functions', 'label:', 'label'])('group=%s is refused', async group => {
  const { status, body } = await server.get('flamegraph', { ...selection, group })
  expect([status, (body as { code: string }).code]).toEqual([400, 'BAD_REQUEST'])
})
