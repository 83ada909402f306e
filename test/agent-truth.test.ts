import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { decodePprof, type ResolvedProfile, resolveStacks } from '@strobe/profile'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildWorkloads, cannotProfile, record } from './agent-record.ts'

/** Callers of each leaf of workloads/shares.c, up to where the C library takes over. */
const chains: Record<string, string[]> = {
  checksum: ['handle_read', 'run_requests', 'main'],
  compress: ['handle_write', 'run_requests', 'main'],
  encrypt: ['seal', 'handle_write', 'run_requests', 'main'],
  hash: [...new Array(21).fill('descend'), 'run_requests', 'main'],
  square: ['crunch', 'worker_main'],
}
const cpuSeconds = 6

describe.skipIf(cannotProfile !== '')(
  `the profile of a program whose shares are known${cannotProfile}`,
  () => {
    let folder: string
    let clocks: Record<string, number>
    let resolved: ResolvedProfile
    let samplesOf: number[]

    beforeAll(async () => {
      folder = buildWorkloads('shares')
      const file = join(folder, 'shares.pb.gz')
      const run = await record(['-F', '997', '-o', file, '--', join(folder, 'shares'), String(cpuSeconds)])
      expect(run).toMatchObject({ code: 0 })
      clocks = JSON.parse(run.stdout.split('\n')[0]!)
      const profile = decodePprof(gunzipSync(readFileSync(file)))
      resolved = resolveStacks(profile)
      samplesOf = Array.from(resolved.values, value => Number(value / profile.period))
    })
    afterAll(() => rmSync(folder, { recursive: true }))

    /** Names of the frames of one sample, leaf first. */
    const frames = (sample: number) => {
      const stack = resolved.sampleStack[sample]!
      return Array.from(
        resolved.stackFrame.subarray(resolved.stackOffset[stack]!, resolved.stackOffset[stack + 1]!),
        frame => resolved.functions[resolved.frameFunction[frame]!]!,
      )
    }

    test('has at least 4,000 samples', () => {
      expect(samplesOf.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(4000)
    })

    test("gives each function its share by the program's own clocks, within 3 points", () => {
      const counted: Record<string, number> = {}
      for (const [sample, count] of samplesOf.entries()) {
        const leaf = frames(sample).find(({ name }) => name in chains)
        if (leaf) counted[leaf.name] = (counted[leaf.name] ?? 0) + count
      }
      const countedTotal = Object.values(counted).reduce((sum, count) => sum + count, 0)
      const clockTotal = Object.values(clocks).reduce((sum, ns) => sum + ns, 0)
      for (const name of Object.keys(chains)) {
        const points = 100 * ((counted[name] ?? 0) / countedTotal - clocks[name]! / clockTotal)
        expect.soft(Math.abs(points), `${name} is ${points.toFixed(2)} points off`).toBeLessThan(3)
      }
      // And the whole: samples x period is the CPU time that the clocks saw, but for the start without a table.
      const whole = countedTotal / 997 / (clockTotal / 1e9)
      expect(whole).toBeGreaterThan(0.85)
      expect(whole).toBeLessThan(1.05)
    })

    test('shows every chain whole, to _start or to the start of the thread', () => {
      let seen = 0
      let cut = 0
      for (const [sample, count] of samplesOf.entries()) {
        const stack = frames(sample)
        const leaf = stack.findIndex(({ name }) => name in chains)
        if (leaf < 0) continue
        seen += count
        // On a busy machine a sample may come before the tables of libc: such a chain says so, and poses as none.
        if (stack.at(-1)!.module === '[unwinder]') {
          cut += count
          continue
        }
        const { name } = stack[leaf]!
        const callers = stack.slice(leaf + 1)
        const own = chains[name]!
        const text = stack.map(frame => `${frame.module}!${frame.name}`).join(' < ')
        expect(
          callers.slice(0, own.length).map(frame => frame.name),
          text,
        ).toEqual(own)
        const outer = callers.slice(own.length)
        // Debian's libc names none of its static functions, start_thread among them.
        if (own.at(-1) === 'main')
          expect(outer.pop(), text).toMatchObject({ name: '_start', module: 'shares' })
        expect(outer.length, text).toBeGreaterThan(0)
        expect(
          outer.every(frame => frame.module === 'libc.so.6'),
          text,
        ).toBe(true)
      }
      expect(seen).toBeGreaterThanOrEqual(4000)
      expect(cut / seen).toBeLessThan(0.05)
    })

    test('opens in go tool pprof, which finds the same top function', () => {
      const top = execFileSync(
        'go',
        ['tool', 'pprof', '-top', '-nodecount=3', join(folder, 'shares.pb.gz')],
        {
          encoding: 'utf8',
          env: { ...process.env, PPROF_TMPDIR: folder },
        },
      )
      expect(top).toContain('Type: cpu')
      expect(top.split('\n').find(line => /^ *[\d.]+m?s /.test(line))).toMatch(/ square$/)
    })
  },
)
