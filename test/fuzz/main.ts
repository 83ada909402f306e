/**
 * npm run fuzz [-- TARGET...] [--count N] [--seed S] [--first ROUND]: tries each decoder with mutated inputs.
 * Prints seed, rate and outcomes; an input that fails is kept in test/fuzz/corpus/TARGET/SEED-ROUND.bin, where
 * test/fuzz.test.ts reads it from then on. Exit code 1 when one failed.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fuzz } from './run.ts'
import { targets } from './targets.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    first: { type: 'string', default: '0' },
  },
})
const names = positionals.length > 0 ? positionals : Object.keys(targets)
const unknown = names.filter(name => !Object.hasOwn(targets, name))
const [seed, count, first] = [values.seed, values.count, values.first].map(Number)
if (unknown.length > 0 || ![seed, count, first].every(Number.isSafeInteger)) {
  console.error(
    `npm run fuzz [-- TARGET...] [--count N] [--seed S] [--first ROUND]; targets are ${Object.keys(targets).join(', ')}`,
  )
  process.exit(2)
}
const corpus = fileURLToPath(new URL('./corpus', import.meta.url))
console.log(`seed ${seed}, ${count} inputs a target`)
for (const name of names) {
  const target = targets[name]!()
  const report = await fuzz(name, target, { seed: seed!, first: first!, count: count!, corpus })
  target.close?.()
  const outcomes = Object.entries(report.outcomes)
    .sort((a, b) => b[1] - a[1])
    .map(([outcome, inputs]) => `${outcome} ${inputs}`)
  console.log(
    `${name}: ${report.inputsPerSecond.toFixed(0)} inputs/s, memory +${(report.grownBytes / 1e6).toFixed(0)} MB; ${outcomes.join(', ')}`,
  )
  for (const { round, file, error } of report.failures) {
    process.exitCode = 1
    console.error(`${name}: round ${round} failed, input kept in ${file}\n${error.stack}`)
    console.error(`  again: npm run fuzz -- ${name} --seed ${seed} --first ${round} --count 1`)
  }
}
