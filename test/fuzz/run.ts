import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import { seededRandom } from '../../cli/src/demo/random.ts'
import type { Pick } from './mutate.ts'
import type { Target } from './target.ts'

// One input takes milliseconds. CPU, not time: other work on the machine is not the decoder's.
const slowMs = 2000
const memoryBytes = 512 * 2 ** 20

export interface FuzzOptions {
  seed: number
  /** Rounds first to first + count - 1. A round has the same input whatever ran before it. */
  first: number
  count: number
  /** Inputs that failed are kept here. */
  corpus: string
}

export interface FuzzReport {
  /** Inputs per outcome, by name. */
  outcomes: Record<string, number>
  failures: { round: number; file: string; error: Error }[]
  inputsPerSecond: number
  /** Largest growth of resident memory seen. */
  grownBytes: number
}

export function pickerOf(seed: number, round: number): Pick {
  const random = seededRandom(seed ^ Math.imul(round + 1, 0x9e3779b1))
  return below => Math.floor(random() * below)
}

/** Stops after ten failures: more of them tell nothing new. */
export async function fuzz(name: string, target: Target, options: FuzzOptions): Promise<FuzzReport> {
  const outcomes: Record<string, number> = {}
  const failures: FuzzReport['failures'] = []
  const startedAt = performance.now()
  const startBytes = process.memoryUsage.rss()
  let grownBytes = 0
  let round = options.first
  for (; round < options.first + options.count && failures.length < 10; round++) {
    const input = target.make(pickerOf(options.seed, round))
    const failed = (error: Error) => {
      const folder = join(options.corpus, name)
      mkdirSync(folder, { recursive: true })
      const file = join(folder, `${options.seed}-${round}.bin`)
      writeFileSync(file, input)
      failures.push({ round, file, error })
    }
    const before = process.cpuUsage()
    try {
      const outcome = await outcomeOf(target, input)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    } catch (error) {
      failed(error as Error)
    }
    const { user, system } = process.cpuUsage(before)
    if (user + system > slowMs * 1000)
      failed(new Error(`took ${Math.round((user + system) / 1000)} ms of CPU`))
    if (round % 16 === 0) {
      // Streams free what failed at the end of a turn, which awaiting alone never comes to.
      await endOfTurn()
      const grown = process.memoryUsage.rss() - startBytes
      if (grown > memoryBytes && grownBytes <= memoryBytes) failed(new Error(`memory grew by ${grown} bytes`))
      grownBytes = Math.max(grownBytes, grown)
    }
  }
  const seconds = (performance.now() - startedAt) / 1000
  return { outcomes, failures, inputsPerSecond: (round - options.first) / seconds, grownBytes }
}

/** Code of a coded error; throws every other. */
export async function outcomeOf(target: Target, input: Uint8Array): Promise<string> {
  try {
    return await target.run(input)
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string }
    if (typeof code === 'string' && /^(Strobe|Coded|Agent)Error$/.test(name ?? '')) return code
    throw error
  }
}

/** Inputs that failed once, by file name. */
export function readCorpus(corpus: string, name: string): Map<string, Uint8Array> {
  const folder = join(corpus, name)
  let names: string[] = []
  try {
    names = readdirSync(folder).sort()
  } catch {
    // None has failed yet.
  }
  return new Map(names.map(each => [each, readFileSync(join(folder, each))]))
}
