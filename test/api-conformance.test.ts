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

beforeAll(async () => {
  server = await startTestServer()
  folder = await mkdtemp(join(tmpdir(), 'strobe-pprof-'))
})
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Functions {
  unit: string
  total: number
  functions: { name: string; self: number; total: number }[]
}

// Figures of data/conformance/SOURCES.md, which `go tool pprof` gave: total, most self, most total.
const cases: [
  file: string,
  type: string,
  total: number,
  self: [string, number][],
  cum: [string, number][],
][] = [
  [
    'pprof/go-cpu-fib.pb.gz',
    'cpu',
    29_740_000_000,
    [
      ['math/big.addVV', 28_610_000_000],
      ['runtime.memclrNoHeapPointers', 310_000_000],
      ['math/big.addMulVVW', 140_000_000],
    ],
    [['main.calculateFib', 29_500_000_000]],
  ],
  [
    'pprof/go-inlined.cpu.pb.gz',
    'cpu',
    1_760_000_000,
    [
      ['runtime.mapiternext', 1_280_000_000],
      ['main.busyLoop', 150_000_000],
      ['math.Abs', 110_000_000],
    ],
    [['main.busyLoop', 1_760_000_000]],
  ],
  [
    'pprof/go-heap-small.pb.gz',
    'alloc_space',
    1_374_249_148,
    [
      ['main.NewAlloc', 1_364_805_662],
      ['main.allocLoop', 4_720_446],
      ['runtime.allocm', 3_674_048],
    ],
    [['main.allocLoop', 1_369_526_108]],
  ],
  [
    'pprof/go-heap-large.pb.gz',
    'alloc_space',
    116_044_559_690,
    [
      ['compress/flate.NewWriter', 29_909_594_881],
      ['runtime/pprof.allFrames', 15_439_341_058],
    ],
    [],
  ],
  [
    'pprof/go-fgprof-wall.pb.gz',
    'time',
    2_104_393_918_350,
    [['runtime.gopark', 2_036_929_272_560]],
    [['runtime.goexit', 2_104_393_918_350]],
  ],
  [
    'pprof/ebpf-thread-labels.pb.gz',
    'samples',
    462,
    [
      ['runtime.mallocgc', 40],
      ['runtime.findObject', 21],
    ],
    [['runtime.goexit', 461]],
  ],
  [
    'pprof/go-cpu-errgroup.pb.gz',
    'cpu',
    380_000_000,
    [
      ['main.computeSum', 190_000_000],
      ['runtime.write1', 70_000_000],
    ],
    [['golang.org/x/sync/errgroup.(*Group).Go.func1', 240_000_000]],
  ],
  [
    'pprof/go-cpu-labels.pb.gz',
    'cpu',
    27_220_000_000,
    [
      ['fmt.(*fmt).fmtInteger', 4_360_000_000],
      ['runtime.mallocgc', 2_750_000_000],
      ['fmt.(*pp).doPrintf', 2_130_000_000],
    ],
    [['main.cpuHog', 23_310_000_000]],
  ],
  [
    'pprof/go-lines.pb.gz',
    'cpu',
    3_080_000_000,
    [['main.goHog', 3_070_000_000]],
    [['main.run.func1', 3_080_000_000]],
  ],
  [
    'pprof/php-symfony.pprof',
    'wall-time',
    248_104_107,
    [
      ['cgi-fcgi|fastcgi_finish_request', 65_114_243],
      ['<php>', 60_190_839],
    ],
    [['<php>', 248_104_107]],
  ],
  [
    'pprof/single-stack.pb.gz',
    'cpu',
    52_631_578,
    [['runtime.futex', 52_631_578]],
    [['runtime.mstart0', 52_631_578]],
  ],
  ['derived/multi-member.pb.gz', 'cpu', 29_740_000_000, [['math/big.addVV', 28_610_000_000]], []],
  ['derived/uncompressed.pb', 'cpu', 29_740_000_000, [['math/big.addVV', 28_610_000_000]], []],
]

test.each(cases)(
  '%s reads back with the totals and functions of its source',
  async (file, type, total, self, cum) => {
    const service = file.replaceAll(/[^a-z0-9]/g, '-')
    const pushed = await server.push(await readConformance(file), { service })
    expect(pushed).toMatchObject({ status: 200 })
    const query = `{service_name="${service}"}`
    const answer = (
      await server.get('functions', { type, query, from: 'now-1h', to: 'now+1m', limit: 10000 })
    ).body as Functions
    expect(answer.total).toBe(total)
    const of = (name: string) => {
      const rows = answer.functions.filter(row => row.name === name)
      return {
        self: rows.reduce((sum, row) => sum + row.self, 0),
        total: Math.max(0, ...rows.map(row => row.total)),
      }
    }
    expect(self.map(([name]) => [name, of(name).self])).toEqual(self)
    expect(cum.map(([name]) => [name, of(name).total])).toEqual(cum)
    expect(answer.functions[0]!.self).toBe(self[0]![1])

    const tree = (await server.get('flamegraph', { type, query, from: 'now-1h', to: 'now+1m', nodes: 40 }))
      .body as {
      total: number
      names: string[]
      nodes: { parent: number[]; self: number[]; total: number[] }
    }
    expect(tree.total).toBe(total)
    expect(tree.names[0]).toBe('all')
    expect(tree.nodes.self.length).toBeLessThanOrEqual(40)
    expect(tree.nodes.self.reduce((sum, value) => sum + value, 0)).toBe(total)
    for (const [node, parent] of tree.nodes.parent.entries()) expect(parent).toBeLessThan(node)
  },
)

const hasGo = spawnSync('go', ['version']).status === 0
test.runIf(hasGo)(
  `go tool pprof agrees on what comes out again${hasGo ? '' : ' (not run: go is not installed)'}`,
  async () => {
    for (const [file, type, , self] of cases.slice(0, 3)) {
      const service = file.replaceAll(/[^a-z0-9]/g, '-')
      const url = new URL('api/v1/profile', server.url)
      url.search = new URLSearchParams({
        type,
        query: `{service_name="${service}"}`,
        from: 'now-1h',
        to: 'now+1m',
      }).toString()
      const response = await fetch(url)
      expect(response.headers.get('content-disposition')).toMatch(/^attachment; filename="[\w.-]+\.pb\.gz"$/)
      const out = join(folder, `${service}.pb.gz`)
      await writeFile(out, Buffer.from(await response.arrayBuffer()))
      const unit = type === 'cpu' ? 'ms' : 'B'
      const { stdout } = await run('go', [
        'tool',
        'pprof',
        '-symbolize=none',
        '-top',
        '-nodefraction=0',
        `-unit=${unit}`,
        out,
      ])
      const scale = type === 'cpu' ? 1e6 : 1
      const lines = stdout.split('\n').map(line => line.trim().split(/\s+/))
      for (const [name, value] of self) {
        const line = lines.find(
          columns =>
            columns
              .slice(5)
              .join(' ')
              .replace(/ \(inline\)$/, '') === name,
        )
        expect([name, Number.parseFloat(line?.[0] ?? 'nan')]).toEqual([name, value / scale])
      }
    }
  },
)

const refused: [file: string, cause: RegExp][] = [
  ['derived/truncated.pb.gz', /ends early/],
  ['derived/value-count-mismatch.pb.gz', /PPROF_VALUE_COUNT/],
  ['derived/zero-location-id.pb.gz', /PPROF_LOCATION_ZERO/],
  ['derived/concatenated.pb.gz', /PPROF_CONCATENATED/],
  ['derived/empty.pb.gz', /nothing/],
  ['pprof/fuzz-24b.bin', /PPROF_/],
]

test.each(refused)('%s is refused with its cause, and nothing is stored', async (file, cause) => {
  const { status, body } = await server.push(await readConformance(file), { service: 'refused' })
  expect(status).toBe(400)
  expect((body as { message: string }).message).toMatch(cause)
  const { body: after } = await server.get('labels/service_name/values', { from: 'now-1h', to: 'now+1m' })
  expect((after as { values: string[] }).values).not.toContain('refused')
})
