import { readdirSync, readFileSync } from 'node:fs'
import { type AgentHandle, startAgent } from '@strobe/agent'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cannotProfile } from './agent-record.ts'

/** Bits of linux/capability.h that the running agent may hold, and why. */
const allowed = new Map([
  [2, 'CAP_DAC_READ_SEARCH: binaries closed to others'],
  [19, 'CAP_SYS_PTRACE: mappings and memory of any process'],
  [40, 'CAP_CHECKPOINT_RESTORE: binaries that were deleted or replaced'],
  [23, 'CAP_SYS_NICE: the real-time thread, where the limit may not be raised'],
])
const isRoot = process.getuid?.() === 0

describe.skipIf(cannotProfile !== '' || !isRoot)(`the running agent${cannotProfile}`, () => {
  let agent: AgentHandle
  let threads: Map<string, string>[]
  beforeAll(async () => {
    const log: string[] = []
    let windows = 0
    const firstWindow = Promise.withResolvers<void>()
    agent = startAgent({
      config: { output: 'pipe', windowMs: 200, rateHz: 99 },
      ...{ elevate: 'never', reportsWithoutProfiling: false },
      onLog: line => log.push(line),
      onBatch: () => ++windows === 3 && firstWindow.resolve(),
    })
    const { pid, isProfiling } = await agent.ready
    expect(isProfiling, log.join('\n')).toBe(true)
    // Workers, the pool and the addon's threads are all there once windows come.
    await firstWindow.promise
    threads = readdirSync(`/proc/${pid}/task`).map(tid => readStatus(`/proc/${pid}/task/${tid}/status`))
  })
  afterAll(async () => {
    await agent?.stop()
  })

  test('has more threads than one', () => {
    expect(threads.length).toBeGreaterThan(4)
  })

  test.each(['CapEff', 'CapPrm', 'CapInh', 'CapAmb', 'CapBnd'])(
    'holds no more than it needs in %s, in every thread',
    set => {
      for (const thread of threads) {
        const held = BigInt(`0x${thread.get(set)}`)
        const excess = Array.from({ length: 64 }, (_, bit) => bit).filter(
          bit => (held >> BigInt(bit)) & 1n && !allowed.has(bit),
        )
        expect(excess, `${thread.get('Name')} ${thread.get(set)}`).toEqual([])
      }
    },
  )

  test('is no root, in no group, and cannot become more, in every thread', () => {
    for (const thread of threads) {
      expect(thread.get('Uid')!.split('\t')).not.toContain('0')
      expect(thread.get('Gid')!.split('\t')).not.toContain('0')
      expect(thread.get('Groups')).toBe('')
      expect(thread.get('NoNewPrivs')).toBe('1')
      expect(thread.get('Seccomp')).toBe('2')
    }
  })

  test('ends when it is told to, with its last window', async () => {
    const { code, counters } = await agent.stop()
    expect(code).toBe(0)
    expect(counters!.windows).toBeGreaterThanOrEqual(4)
    expect(counters!.windows_failed ?? 0).toBe(0)
  })
})

function readStatus(path: string): Map<string, string> {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return new Map(
    lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  )
}
