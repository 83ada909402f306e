/**
 * What a profile costs before it is stored: unpacking, decoding, resolving to identities, and both of these as
 * ingest does them; and encoding.
 * Run: node profile/src/pprof/decode.bench.ts [FOLDER OF .pb.gz]. Prints the best and the median of 40
 * rounds in ms; figures compare only within one run on one machine.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { resolveStacks } from '../normalize.ts'
import { PprofBody } from '../resolve/pprof-body.ts'
import { decodePprof } from './decode.ts'
import { encodePprof } from './encode.ts'

const folder = process.argv[2] ?? new URL('../../../test/data/conformance/pprof', import.meta.url).pathname
const rounds = 40
const body = new PprofBody()

function time(times: number[], run: () => void): void {
  const started = performance.now()
  run()
  times.push(performance.now() - started)
}

const files = readdirSync(folder)
  .filter(file => file.endsWith('.pb.gz'))
  .slice(0, 40)
  .map(file => ({
    file,
    packed: readFileSync(`${folder}/${file}`),
    gunzip: [],
    decode: [],
    resolve: [],
    ingest: [],
    encode: [],
  }))

for (let round = 0; round < rounds; round++) {
  for (const { packed, ...times } of files) {
    const bytes = gunzipSync(packed)
    const profile = decodePprof(bytes)
    time(times.gunzip, () => gunzipSync(packed))
    time(times.decode, () => decodePprof(bytes))
    time(times.resolve, () => resolveStacks(profile))
    time(times.ingest, () => body.read(bytes))
    time(times.encode, () => encodePprof(profile))
  }
}
for (const { file, packed, ...times } of files) {
  const columns = (['gunzip', 'decode', 'resolve', 'ingest', 'encode'] as const).map(step => {
    const sorted = (times[step] as number[]).sort((a, b) => a - b)
    return `${step} ${sorted[0]!.toFixed(3)} ${sorted[rounds / 2]!.toFixed(3)}`
  })
  console.log(`${file} ${packed.length} bytes: ${columns.join(', ')}`)
}
