import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { startAgent } from '@strobe/agent'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Move, startTestServer } from '../agent/src/ship/test-server.ts'
import { cannotProfile } from './agent-record.ts'

const waitMs = { timeout: 30_000, interval: 50 }

describe.skipIf(cannotProfile !== '')(`an agent that is killed${cannotProfile}`, () => {
  let folder: string
  let spoolDir: string
  const log: string[] = []
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'strobe-crash-'))
    spoolDir = join(folder, 'spool')
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const start = (server: string) =>
    startAgent({
      config: { server, spoolDir, windowMs: 300, callTimeoutMs: 500, rateHz: 99 },
      ...{ elevate: 'never', reportsWithoutProfiling: false },
      onLog: line => log.push(line),
    })
  const spooled = () => readdirSync(spoolDir).filter(name => name.endsWith('.batch'))

  test('sends each window once after kill -9, also those whose answer was lost', async () => {
    const away: Move[] = Array.from({ length: 1000 }, () => ({ code: status.UNAVAILABLE }))
    // The first batch is stored, and its answer never comes.
    const server = await startTestServer(['lose', ...away])
    const first = start(server.address)
    const { pid, isProfiling } = await first.ready
    expect(isProfiling, log.join('\n')).toBe(true)
    await vi.waitFor(() => expect(spooled().length).toBeGreaterThanOrEqual(4), waitMs)
    process.kill(pid, 'SIGKILL')
    expect((await first.ended).counters).toBeNull()
    const left = spooled().map(name => name.slice(17, 49))
    expect([...server.stored.keys()]).toEqual([left[0]])
    server.stop()

    const again = await startTestServer([], server.port)
    for (const [id] of server.stored) again.stored.set(id, 1)
    const second = start(server.address)
    await second.ready
    await vi.waitFor(() => expect(again.stored.size).toBeGreaterThan(left.length), waitMs)
    const { code, counters } = await second.stop()
    again.stop()
    expect(code).toBe(0)
    expect(counters).toMatchObject({ batches_duplicate: 1 })
    // In order, each once, and the last window too.
    expect(again.calls.slice(0, left.length).map(call => call.id)).toEqual(left)
    expect(new Set(again.calls.map(call => call.id)).size).toBe(again.calls.length)
    expect([...again.stored.values()].every(count => count === 1)).toBe(true)
    expect(spooled()).toEqual([])
  })

  test('takes the agent with it when the process that started it dies', async () => {
    const { spawn } = await import('node:child_process')
    const launch = new URL('../agent/src/launch.ts', import.meta.url)
    const code = `
      const { startAgent } = await import(${JSON.stringify(launch.href)})
      const agent = startAgent({
        config: { output: 'pipe', rateHz: 19 },
        elevate: 'never', reportsWithoutProfiling: false, onLog: line => console.error(line),
      })
      console.log((await agent.ready).pid)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pid = await new Promise<number>(resolve =>
      parent.stdout.once('data', data => resolve(Number(String(data)))),
    )
    expect(isAlive(pid)).toBe(true)
    parent.kill('SIGKILL')
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), waitMs)
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
