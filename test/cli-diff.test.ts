import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const main = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
const conformance = fileURLToPath(new URL('data/conformance/', import.meta.url))
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-diff-'))
  const write = (name: string, weights: Record<string, number>) =>
    writeFile(
      join(folder, name),
      Object.entries(weights)
        .map(([stack, count]) => `main;${stack} ${count}\n`)
        .join(''),
    )
  await write('before.folded', { hot: 4000, parse: 3000, rest: 3000 })
  // 4000 of 10,000 become 6000 of 12,000: half of the time instead of two fifths, +20 % in all.
  await write('after.folded', { hot: 6000, parse: 3000, rest: 3000 })
  await write('faster.folded', { hot: 2000, parse: 3000, rest: 3000 })
  await write('few.folded', { hot: 40, parse: 30, rest: 30 })
  await write('odd.folded', { 'a|b<script>&`x`': 9000, rest: 1000 })
  for (const side of ['main', 'branch']) {
    await mkdir(join(folder, side))
    for (let run = 0; run < 4; run++) {
      const hot = (side === 'main' ? 4000 : 5000) + run * 20
      await write(`${side}/${run}.folded`, { hot, parse: 3000 - run * 10, rest: 3000 })
    }
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function diff(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [main, 'diff', ...args], { cwd: folder }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

describe('exit codes', () => {
  test.each([
    [
      'compared',
      ['before.folded', 'after.folded'],
      0,
      /^Slower: 1 of 3 functions went from 40\.0 % to 50\.0 %/m,
    ],
    ['a rule holds', ['before.folded', 'after.folded', '--fail-on', 'slower=19%'], 4, /20\.0 % more time/],
    [
      'a rule that asks for more',
      ['before.folded', 'after.folded', '--fail-on', 'slower=21%'],
      0,
      /20\.0 % more time/,
    ],
    [
      'a rule for the other direction',
      ['before.folded', 'after.folded', '--fail-on', 'faster=1%'],
      0,
      /Slower/,
    ],
    ['faster', ['before.folded', 'faster.folded', '--fail-on', 'faster=2%'], 4, /^Faster/m],
    ['equal', ['before.folded', 'before.folded', '--fail-on', 'slower=0%'], 0, /^No evidence of a change/m],
    ['too few samples', ['before.folded', 'few.folded'], 5, /^Cannot compare: side B has 100 samples/m],
    ['no such file', ['before.folded', 'nope.folded'], 1, /^$/],
    ['a rule that cannot be read', ['before.folded', 'after.folded', '--fail-on', 'slower'], 2, /^$/],
    ['no rates without durations', ['before.folded', 'after.folded', '--normalize', 'rate'], 2, /^$/],
  ])('%s', async (_, args, code, out) => {
    const result = await diff(...args)
    expect(result.code, result.err).toBe(code)
    expect(result.out).toMatch(out)
  })
})

test('totals of the same work recorded twice', async () => {
  const { out } = await diff('before.folded', 'after.folded', '--normalize', 'total')
  // 2 x (1/10,000 + 1/12,000) is the variance of the logarithm: 1.2 x exp(+-1.96 x 0.0191).
  expect(out).toMatch(/^Slower: the total changed by \+20\.0 % \(\+15\.6 % to \+24\.6 %/m)
})

test('only what grew is worse; what made room has moved', async () => {
  const { out } = await diff('before.folded', 'after.folded')
  const words = out
    .split('\n')
    .flatMap(line => /^(worse|better|moved)\s.*\s(\S+)$/.exec(line)?.slice(1) ?? [])
  expect(words).toEqual(['worse', 'hot', 'moved', 'parse', 'moved', 'rest'])
})

test('folders: files are replicates, which tell the noise', async () => {
  const { out } = await diff('main', 'branch')
  expect(out).toMatch(/^A {2}main: 4 profiles, 40060 samples/m)
  expect(out).not.toContain('Mind:')
  expect(out).toMatch(/^worse .* hot$/m)
})

test('the same as JSON', async () => {
  const { out } = await diff('before.folded', 'after.folded', '--json')
  const report = JSON.parse(out) as {
    verdict: { state: string; growth: { value: number } }
    functions: { name: string; state: string; selfA: number; selfB: number; totalB: number }[]
    tree: { names: string[]; name: number[]; totalA: number[]; totalB: number[] }
  }
  expect(report.verdict).toMatchObject({ state: 'slower', growth: { value: expect.closeTo(0.2, 10) } })
  expect(report.functions[0]).toMatchObject({
    name: 'hot',
    state: 'slower',
    selfA: 0.4,
    selfB: 0.5,
    totalB: 0.5,
  })
  expect(report.tree.names[report.tree.name[2]!]).toBe('hot')
  // Of the 10,000 before: hot had 4,000 and has 6,000; parse keeps its 3,000.
  expect([report.tree.totalA[2], report.tree.totalB[2]]).toEqual([
    expect.closeTo(0.4, 10),
    expect.closeTo(0.6, 10),
  ])
})

test('pictures and comments keep names from being markup', async () => {
  const svg = join(folder, 'x.svg')
  expect(await diff('before.folded', 'odd.folded', '-o', svg)).toMatchObject({ code: 0 })
  const picture = await readFile(svg, 'utf8')
  expect(picture).toContain('a|b&lt;script&gt;&amp;`x`')
  expect(picture).not.toContain('<script')
  const { out } = await diff('before.folded', 'odd.folded', '--format', 'markdown')
  expect(out).toContain('a\\|b\\<script\\>&\\`x\\`')
})

test('real profiles: the same one twice, and two that differ', async () => {
  const fib = join(conformance, 'pprof/go-cpu-fib.pb.gz')
  expect((await diff(fib, fib)).out).toMatch(/^No evidence of a change/m)
  // 2,974 samples, of which math/big.addVV is 96.2 % by `go tool pprof -top`.
  expect((await diff(fib, fib)).out).toMatch(/96\.2 %\s+96\.2 %\s.*math\/big\.addVV$/m)
})
