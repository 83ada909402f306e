import { readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { decodePprof, type Profile } from '@strobe/profile'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildWorkloads, cannotProfile, record } from './agent-record.ts'

/** CPU time by leaf location: its lines, innermost first, as `function:START LINE (FILE)`. */
function selfByLines(profile: Profile): Map<string, number> {
  const self = new Map<string, number>()
  for (let sample = 0; sample < profile.stackOffset.length - 1; sample++) {
    const leaf = profile.stackLocation[profile.stackOffset[sample]!]!
    const lines: string[] = []
    for (let line = profile.lineOffset[leaf]!; line < profile.lineOffset[leaf + 1]!; line++) {
      const { name, startLine, file } = profile.functions[profile.lineFunction[line]!]!
      lines.push(file === '' ? name : `${name}:${startLine} (${basename(file)})`)
    }
    const key = lines.join(' in ')
    self.set(key, (self.get(key) ?? 0) + Number(profile.values[sample]!))
  }
  return self
}

describe.skipIf(cannotProfile !== '')(`names of frames${cannotProfile}`, () => {
  let folder: string
  beforeAll(() => {
    folder = buildWorkloads('inlined')
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('inlined calls stand above the function they are in, with files and first lines', async () => {
    const output = join(folder, 'inlined.pb.gz')
    const run = await record(['-o', output, '--', join(folder, 'inlined'), '2'])
    expect(run).toMatchObject({ code: 0 })
    expect(run.stdout).toMatch(/ inlined +mix$/m)
    const profile = decodePprof(gunzipSync(readFileSync(output)))
    const self = selfByLines(profile)
    const total = [...self.values()].reduce((sum, value) => sum + value, 0)
    const chain = 'mix:7 (inlined.cpp) in digest_block:11 (inlined.cpp) in digest:16 (inlined.cpp)'
    // The loop's own counter belongs to digest_block.
    expect(self.get(chain)! / total).toBeGreaterThan(0.5)
  })
})
