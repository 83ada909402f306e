/**
 * npm run bench -- NAME [--smoke] [--minutes N] [--kills N] [--results FOLDER]: one line a figure, `name value unit budget ok|short`,
 * and a file under bench/results. README.md tells what each figure means.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { agentBench } from './agent.ts'
import type { Bench } from './bench.ts'
import { formatFigure, verdict } from './figure.ts'
import { growthBench } from './growth.ts'
import { ingestBench } from './ingest.ts'
import { queryBench } from './query.ts'
import { regressionBench } from './regression.ts'
import { soakBench } from './soak.ts'
import { storageBench } from './storage.ts'

const benches: Record<string, Bench> = {
  agent: agentBench,
  ingest: ingestBench,
  storage: storageBench,
  query: queryBench,
  growth: growthBench,
  regression: regressionBench,
  soak: soakBench,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    kills: { type: 'string' },
    results: { type: 'string' },
  },
})
const [name = ''] = positionals
const bench = benches[name]
if (!bench || positionals.length !== 1) {
  console.error(
    `npm run bench -- NAME, where NAME is one of ${Object.keys(benches).join(', ')}; not "${name}"`,
  )
  process.exit(2)
}
const minutes = readCount('minutes')
const kills = readCount('kills')
const scale = values.smoke ? 'smoke' : 'full'
const since = performance.now()
const notes: string[] = []
const note = (sentence: string) => {
  notes.push(sentence)
  console.error(`bench: ${sentence}`)
}
const figures = await bench(scale, note, { minutes, kills })
for (const figure of figures) console.log(formatFigure(figure))

const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim()
const date = new Date().toISOString()
const folder = values.results ?? fileURLToPath(new URL('./results', import.meta.url))
const record = {
  bench: name,
  scale,
  date,
  commit: git('rev-parse', 'HEAD'),
  // Of what runs; results and documents change nothing.
  isModified: git('status', '--porcelain', '--', '*.ts', '*.c', '*.cc', '*.h', '*.go') !== '',
  command: `npm run bench -- ${process.argv
    .slice(2)
    .filter((each, at, all) => all[at - 1] !== '--results' && each !== '--results')
    .join(' ')}`,
  machine: { cpu: cpus()[0]?.model ?? '', cores: cpus().length, kernel: release(), node: process.version },
  seconds: Math.round((performance.now() - since) / 1000),
  notes,
  figures: figures.map(figure => ({ ...figure, verdict: verdict(figure) })),
}
mkdirSync(folder, { recursive: true })
const file = join(folder, `${date.slice(0, 10)}-${name}.json`)
writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`)

/** Null when the option was not given. */
function readCount(option: 'minutes' | 'kills'): number | null {
  const text = values[option]
  if (text === undefined) return null
  if (Number(text) > 0) return Number(text)
  console.error(`--${option} takes a number over 0; not "${text}"`)
  process.exit(2)
}
