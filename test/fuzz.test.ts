import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { fuzz, outcomeOf, readCorpus } from './fuzz/run.ts'
import { targets } from './fuzz/targets.ts'

const seed = 20_261_125
const kept = fileURLToPath(new URL('./fuzz/corpus', import.meta.url))
const corpus = mkdtempSync(join(tmpdir(), 'strobe-fuzz-'))
afterAll(() => rmSync(corpus, { recursive: true }))

// How many of 2,000 must be accepted, and how many outcomes be seen: mutations that all stop at the first
// check prove nothing.
const wanted: Record<string, [accepted: number, outcomes: number]> = {
  pprof: [400, 9],
  batch: [400, 5],
  upload: [400, 2],
  folded: [1000, 2],
  speedscope: [200, 2],
  selector: [100, 2],
  type: [0, 2],
  time: [50, 2],
  journal: [80, 2],
  spool: [1000, 2],
  pipe: [1000, 2],
  'row-binary': [500, 2],
  unpack: [100, 4],
}

test('every target is tried', () => {
  expect(Object.keys(wanted).sort()).toEqual(Object.keys(targets).sort())
})

test('what waits for the end of a turn does not gather', async () => {
  let [waiting, most] = [0, 0]
  const run = async () => {
    most = Math.max(most, ++waiting)
    process.nextTick(() => waiting--)
    return 'accepted'
  }
  await fuzz('turns', { make: () => new Uint8Array(), run }, { seed, first: 0, count: 64, corpus })
  expect(most).toBeLessThanOrEqual(16)
})

describe.each(Object.entries(wanted))('%s', (name, [accepted, outcomes]) => {
  test('2,000 mutated inputs: a result that holds, or a coded refusal', async () => {
    const target = targets[name]!()
    const report = await fuzz(name, target, { seed, first: 0, count: 2000, corpus })
    target.close?.()
    expect(report.failures.map(({ round, error }) => `round ${round}: ${error.stack}`)).toEqual([])
    expect(report.outcomes.accepted ?? 0).toBeGreaterThanOrEqual(accepted)
    expect(Object.keys(report.outcomes).length).toBeGreaterThanOrEqual(outcomes)
  })

  test('inputs that failed once', async () => {
    const target = targets[name]!()
    for (const [file, input] of readCorpus(kept, name))
      await expect(outcomeOf(target, input), file).resolves.toEqual(expect.any(String))
    target.close?.()
  })
})
