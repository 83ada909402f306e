import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findBinaries } from './oracle/binaries.ts'
import { classify } from './oracle/compare.ts'
import { buildAgentNamer, compareBinary } from './oracle/oracle.ts'

const level = (name: string, file: string, line: number) => ({ name, file, line })

test('an answer agrees with a reference, is of an explained class, or is not explained', () => {
  const f = [level('f', '/a.c', 7)]
  const inlined = [level('g', '/a.h', 1), level('f', '/a.c', 7)]
  const nothing = [level('', '', 0)]
  const cases: [agent: typeof f, binutils: typeof f, llvm: typeof f, expected: string | null][] = [
    [f, f, f, 'both'],
    [[level('f.cold', '/b/../a.c', 7)], f, f, 'both'],
    [f, inlined, f, 'llvm'],
    [f, f, nothing, 'binutils'],
    [f, [level('f', '/a.c', 8)], [level('h', '/a.c', 7)], 'mixed'],
    [[level('x@plt', '', 0)], nothing, [level('_init', '', 0)], 'plt'],
    [[], [level('before', '', 0)], [level('before', '', 0)], 'gap'],
    [[level('f', '../a.c', 7)], [level('f', './x/../a.c', 7)], nothing, 'relative'],
    [[level('other', '/a.c', 7)], f, f, 'alias'],
    [f, inlined, inlined, null],
    [f, [level('f', '/a.c', 8)], [level('f', '/a.c', 8)], null],
    [[], inlined, inlined, null],
  ]
  const symbols = new Map([
    ['f', 1n],
    ['other', 1n],
    ['g', 2n],
  ])
  for (const [agent, binutils, llvm, expected] of cases)
    expect(classify(agent, binutils, llvm, symbols), JSON.stringify([agent, binutils, llvm])).toBe(expected)
})

// npm run oracle asks 1,000 addresses of each of some 20 binaries.
const small = ['libm.so.6', 'strobe-launch', 'gcc-O2', 'go']
test('names, inlined calls and lines are those of binutils or LLVM', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-oracle-'))
  try {
    const { binaries, missing } = findBinaries(folder, small)
    expect(missing).toEqual([])
    const namer = buildAgentNamer()
    for (const binary of binaries) {
      const { counts, unexplained } = await compareBinary(namer, binary, 200)
      expect(unexplained, binary.name).toEqual([])
      const asReferences = ['both', 'binutils', 'llvm', 'mixed', 'relative'] as const
      const agreed = asReferences.reduce((sum, name) => sum + (counts[name] ?? 0), 0)
      expect(agreed, binary.name).toBeGreaterThan(150)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
