import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildWorkloads, cannotProfile, record, workloadPath } from './agent-record.ts'

interface Summary {
  samples: number
  incomplete: number
  functions: { name: string; self: number; total: number }[]
  total: number
  command: { code: number | null; signal: string | null }
}

describe.skipIf(cannotProfile !== '')(`strobe record -d 5 -- PROGRAM${cannotProfile}`, () => {
  let folder: string
  beforeAll(() => {
    folder = buildWorkloads('shares', 'hot-cpp', 'hot-rust', 'hot-go')
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const cases: [
    language: string,
    program: () => string[],
    hot: RegExp,
    caller: RegExp,
    maxIncomplete: number,
  ][] = [
    ['C', () => [join(folder, 'shares'), '60'], /^square$/, /^crunch$/, 0.05],
    ['C++', () => [join(folder, 'hot-cpp'), '60'], /^shop::Cart<unsigned int>::total/, /^main$/, 0.05],
    ['Rust', () => [join(folder, 'hot-rust'), '60'], /^hot(_rust)?::shop::total/, /^hot(_rust)?::main/, 0.05],
    // A Go function without a frame hides its caller from frame pointers: main.main is not there.
    ['Go', () => [join(folder, 'hot-go'), '60'], /^main\.\(\*cart\)\.total$/, /^runtime\.main$/, 0.05],
    // The table of Node's 120 MB takes most of a second to build: samples until then have no stack.
    [
      'Node',
      () => [process.execPath, workloadPath('hot.mjs'), '60'],
      /sha512_block/i,
      /^node::crypto::/,
      0.15,
    ],
  ]
  test.each(cases)(
    '%s: the hot function leads, its caller is there',
    async (_, program, hot, caller, maxIncomplete) => {
      const run = await record(['-d', '5', '--json', '-n', '1000', '--', ...program()])
      expect(run).toMatchObject({ code: 0 })
      const summary = JSON.parse(run.stdout) as Summary
      expect(summary.functions[0]!.name).toMatch(hot)
      expect(summary.functions.find(({ name }) => caller.test(name))!.total).toBeGreaterThan(
        summary.total / 4,
      )
      // 99 Hz for five seconds are 495 a CPU; a machine that others use gives a part of one.
      expect(summary.samples).toBeGreaterThan(50)
      expect(summary.incomplete / summary.samples).toBeLessThan(maxIncomplete)
      expect(summary.command.signal).toBe('SIGTERM')
    },
  )

  test('prints a table for people, and the exit code of the program', async () => {
    const run = await record(['-n', '3', '--', join(folder, 'shares'), '2'])
    expect(run.code).toBe(0)
    expect(run.stdout).toMatch(/^ *self +total +module +function$/m)
    expect(run.stdout).toMatch(/^ *\d.* % +\d.* % +shares +square$/m)
    expect(run.stdout).toMatch(/^\d+ samples, .* of CPU in .*$/m)
    expect(run.stdout).toMatch(/ exited with code 0$/m)
  })

  test('records a process and leaves the rest of the host out', async () => {
    const wanted = spawn(join(folder, 'hot-rust'), ['60'], { stdio: 'ignore' })
    const other = spawn(join(folder, 'shares'), ['60'], { stdio: 'ignore' })
    try {
      const run = await record(['-d', '2', '--json', '-n', '1000', '-p', String(wanted.pid)])
      expect(run).toMatchObject({ code: 0 })
      const names = (JSON.parse(run.stdout) as Summary).functions.map(({ name }) => name)
      expect(names.some(name => /^hot(_rust)?::shop::total/.test(name))).toBe(true)
      expect(names).not.toContain('square')
    } finally {
      wanted.kill()
      other.kill()
    }
  })

  test('says so when the program cannot be started', async () => {
    const run = await record(['--', join(folder, 'missing')])
    expect(run.code).toBe(1)
    expect(run.stderr).toContain('cannot be started')
  })
})
