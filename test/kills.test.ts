import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runKills } from './kills.ts'

test('5 kills at random moments: every acknowledged profile is there exactly once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-kills-'))
  try {
    const seed = Date.now() % 2 ** 31
    const report = await runKills({ folder, kills: 5, seed })
    expect(report, `seed ${seed}`).toMatchObject({
      kills: { server: 1, engine: 1, start: 1, job: 1, migration: 1 },
      problems: [],
    })
    expect(report.batches).toBeGreaterThan(20)
    expect(report.retries).toBeGreaterThan(0)
    expect(report.levelRuns).toBeGreaterThan(0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
