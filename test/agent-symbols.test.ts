import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
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

  /** Self time of mix, with its file, and of leaves without a name, in ns. */
  async function namedOf(name: string, ...args: string[]): Promise<{ mix: number; unnamed: number }> {
    const output = join(folder, `${name}.pb.gz`)
    const run = await record(['-o', output, ...args])
    expect(run).toMatchObject({ code: 0 })
    const self = selfByLines(decodePprof(gunzipSync(readFileSync(output))))
    let mix = 0
    for (const [lines, value] of self) if (lines.startsWith('mix:7 (inlined.cpp) in ')) mix += value
    return { mix, unnamed: self.get('') ?? 0 }
  }

  test('a running program that was deleted, and one that was replaced, keep their names', async () => {
    const deleted = join(folder, 'deleted')
    const replaced = join(folder, 'replaced')
    for (const path of [deleted, replaced]) copyFileSync(join(folder, 'inlined'), path)
    const programs = [deleted, replaced].map(path => spawn(path, ['60'], { stdio: 'ignore' }))
    try {
      await Promise.all(programs.map(program => once(program, 'spawn')))
      unlinkSync(deleted)
      copyFileSync('/bin/true', `${replaced}.new`)
      renameSync(`${replaced}.new`, replaced)
      for (const { pid, spawnfile } of programs) {
        const { mix, unnamed } = await namedOf(basename(spawnfile), '-d', '5', '-p', String(pid))
        expect(mix).toBeGreaterThan(0)
        expect(unnamed).toBe(0)
      }
    } finally {
      for (const program of programs) program.kill()
    }
  })

  test('JavaScript is named by the perf-map that Node writes, and [jit] without', async () => {
    const script = join(folder, 'burn.cjs')
    writeFileSync(
      script,
      `function burnJavaScript(n) { let sum = 0; for (let i = 0; i < n; i++) sum = (sum * 31 + i) % 65521; return sum }
       for (let end = Date.now() + 60_000; Date.now() < end; ) burnJavaScript(1e6)`,
    )
    // Its map stays in /tmp like every program's; this one is ours to remove.
    const program = spawn(process.execPath, ['--perf-basic-prof', script], { stdio: 'ignore' })
    try {
      const named = await record(['-d', '2', '-n', '1000', '-p', String(program.pid)])
      expect(named.stdout).toMatch(/ \[anon\] +\S*burnJavaScript .*burn\.cjs/)
    } finally {
      program.kill()
      rmSync(`/tmp/perf-${program.pid}.map`, { force: true })
    }
    const unnamed = await record(['-d', '2', '-n', '1000', '--', process.execPath, script])
    expect(unnamed.stdout).toMatch(/ \[jit\]$/m)
    expect(unnamed.stdout).not.toContain('burnJavaScript')
  })

  test('a debuginfod server names a stripped program, when it is asked', async () => {
    const program = join(folder, 'inlined')
    const stripped = join(folder, 'stripped')
    const debug = join(folder, 'stripped.debug')
    execFileSync('objcopy', ['--only-keep-debug', program, debug])
    execFileSync('objcopy', ['--strip-all', program, stripped])
    const notes = execFileSync('readelf', ['-n', stripped], { encoding: 'utf8' })
    const buildId = /Build ID: ([0-9a-f]+)/.exec(notes)![1]!
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url ?? '')
      const isKnown = request.url === `/buildid/${buildId}/debuginfo`
      response.writeHead(isKnown ? 200 : 404).end(isKnown ? readFileSync(debug) : '')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    try {
      const before = await namedOf('not-asked', '-d', '2', '--', stripped, '60')
      expect(before.mix).toBe(0)
      expect(before.unnamed).toBeGreaterThan(0)
      expect(asked).toEqual([])
      process.env.STROBE_DEBUGINFOD_URLS = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      process.env.STROBE_DEBUG_DIR = mkdtempSync(join(tmpdir(), 'strobe-debug-'))
      // The first windows ask, later ones have the names.
      expect((await namedOf('asked', '-d', '6', '--', stripped, '60')).mix).toBeGreaterThan(0)
      expect(asked).toContain(`/buildid/${buildId}/debuginfo`)
    } finally {
      delete process.env.STROBE_DEBUGINFOD_URLS
      rmSync(process.env.STROBE_DEBUG_DIR!, { recursive: true, force: true })
      delete process.env.STROBE_DEBUG_DIR
      server.close()
    }
  })
})
