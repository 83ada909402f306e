/** `strobe up` on this host: what the server says of a program whose shares are known, and what it gives back. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildWorkloads, cannotProfile } from './agent-record.ts'
import { startUp, type Up, until } from './up-program.ts'

interface Functions {
  total: number
  functions: { name: string; module: string; self: number; total: number }[]
}
interface Graph {
  names: string[]
  nodes: { name: number[]; parent: number[]; total: number[] }
}

const leaves = ['checksum', 'compress', 'encrypt', 'hash', 'square']
const cpuSeconds = 7
const query = encodeURIComponent('{service_name="shares"}')
const range = `type=cpu&query=${query}&from=now-30m&to=now`

describe.skipIf(cannotProfile !== '')(`a program of known shares under strobe up${cannotProfile}`, () => {
  let folder: string
  let up: Up
  let clocks: Record<string, number>

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'strobe-up-'))
    up = await startUp(join(folder, 'data'), '--rate', '997')
    await until('the agent', async () => (/Profiling every process/.test(up.output()) ? true : undefined))
    const workloads = buildWorkloads('shares')
    const { stdout } = await promisify(execFile)(join(workloads, 'shares'), [String(cpuSeconds)])
    rmSync(workloads, { recursive: true })
    clocks = JSON.parse(stdout.split('\n')[0] ?? '{}')
    const spent = Object.values(clocks).reduce((sum, ns) => sum + ns, 0)
    // The last window is there when the server has the CPU time that the program saw.
    await until('the last window', async () => {
      const { total } = await up.getJson<Functions>(`functions?${range}`)
      if (total > 0.97 * spent) return true
      throw new Error(`${total} of ${spent} ns`)
    })
  })
  afterAll(async () => {
    await up?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test("each function has its share by the program's own clocks, within 3 points, of 4,000 samples or more", async () => {
    const { functions, total } = await up.getJson<Functions>(`functions?${range}`)
    expect(total / (1e9 / 997)).toBeGreaterThanOrEqual(4000)
    const found = (name: string) => functions.find(each => each.name === name && each.module === 'shares')
    const counted = leaves.reduce((sum, name) => sum + (found(name)?.total ?? 0), 0)
    const clocked = leaves.reduce((sum, name) => sum + (clocks[name] ?? 0), 0)
    for (const name of leaves) {
      const points = 100 * ((found(name)?.total ?? 0) / counted - (clocks[name] ?? 0) / clocked)
      expect.soft(Math.abs(points), `${name} is ${points.toFixed(2)} points off`).toBeLessThan(3)
    }
  })

  test('the flame graph has every chain down to _start or the start of a thread', async () => {
    const { names, nodes } = await up.getJson<Graph>(`flamegraph?${range}`)
    const path = (node: number): string[] =>
      (nodes.parent[node] ?? -1) < 0
        ? []
        : [...path(nodes.parent[node] ?? -1), names[nodes.name[node] ?? 0] ?? '']
    const nodesOf = (name: string) =>
      nodes.name.flatMap((index, node) => (names[index] === name ? [node] : []))
    for (const name of leaves) {
      const paths = nodesOf(name).map(path)
      expect(paths.length, name).toBeGreaterThan(0)
      for (const frames of paths)
        if (name === 'square') expect(frames, frames.join(' > ')).toContain('worker_main')
        else expect(frames.slice(0, 1), frames.join(' > ')).toEqual(['_start'])
    }
  })

  test('go tool pprof reads the same out of strobe query', async () => {
    const file = join(folder, 'shares.pb.gz')
    const flags = ['--from', 'now-30m', '--server', up.address, '-o', file]
    execFileSync(process.execPath, ['cli/src/main.ts', 'query', '{service_name="shares"}', ...flags], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
    })
    const env = { ...process.env, PPROF_TMPDIR: folder }
    const top = execFileSync('go', ['tool', 'pprof', '-top', '-unit=ns', '-nodecount=5', file], {
      encoding: 'utf8',
      env,
    })
    // pprof sums by name; a function whose file became known in a later window is two rows of ours.
    const { functions } = await up.getJson<Functions>(`functions?${range}&sort=self&limit=100`)
    const byName = new Map<string, number>()
    for (const { name, self } of functions) byName.set(name, (byName.get(name) ?? 0) + self)
    const largest = [...byName].sort((a, b) => b[1] - a[1]).slice(0, 3)
    const rows = [...top.matchAll(/^ *(\d+)ns +[\d.]+% +[\d.]+% +(\d+)ns +[\d.]+% +(.*)$/gm)]
    expect(rows.slice(0, 3).map(row => [row[3], Number(row[1])])).toEqual(largest)
  })

  test('Ctrl-C stores the last window and ends everything', async () => {
    const pids = up.pidsOf(/./)
    expect(pids.length).toBeGreaterThanOrEqual(3)
    expect(await up.stop()).toBe(0)
    expect(up.output()).toContain('last window')
    // The agent's reader of debug information ends when its pipe does.
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([])
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
