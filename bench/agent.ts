import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { type AgentHandle, describeFailedChecks, runHostCheck, startAgent } from '@strobe/agent'
import { decodePprof, SERIES_LABEL } from '@strobe/profile'
import type { WriteRequest } from '@strobe/proto'
import { startTestServer } from '../agent/src/ship/test-server.ts'
import type { Bench } from './bench.ts'
import { type Figure, figure, median } from './figure.ts'
import { bpfMapBytes, busyCpuSeconds, treeAnonymousBytes, treeCpuSeconds } from './processes.ts'

interface Scale {
  trials: number
  /** CPU seconds of one walk trial on each CPU, warm and cold. */
  warmSeconds: number
  coldSeconds: number
  /** Of each host, idle and busy, at each rate, and of warming up before. */
  hostSeconds: number
  startSeconds: number
}

const scales: Record<'full' | 'smoke', Scale> = {
  full: { trials: 3, warmSeconds: 1, coldSeconds: 3, hostSeconds: 30, startSeconds: 10 },
  smoke: { trials: 1, warmSeconds: 0.8, coldSeconds: 1.2, hostSeconds: 1, startSeconds: 1 },
}
const depth = 100
const coldBytes = 16 * 2 ** 20
// Above what else runs on the machine, so that nearly all samples of a walk trial are of the spin.
const walkNiceness = -10
const settleMs = 400

interface WalkCost {
  fpRuns: number
  fpNs: number
  fpFrames: number
  agentRuns: number
  agentNs: number
}

/** What the agent costs the host: in the kernel per frame, in user space per second, and in memory. */
export const agentBench: Bench = async (scaleName, note) => {
  const scale = scales[scaleName]
  const report = await runHostCheck()
  if (!report.ok) {
    note(`this host cannot be profiled, so there is nothing to measure: ${describeFailedChecks(report)}`)
    return []
  }
  const folder = mkdtempSync(join(tmpdir(), 'strobe-bench-agent-'))
  try {
    execFileSync(
      'make',
      ['-C', fileURLToPath(new URL('./drivers/walk', import.meta.url)), `BUILD=${folder}`],
      {
        stdio: 'pipe',
      },
    )
    const walks = [
      ...(await measureWalks('warm', 1999, 0, scale.warmSeconds, '<= 1.4', scale, folder)),
      ...(await measureWalks('cold', 99, coldBytes, scale.coldSeconds, '<= 1.6', scale, folder)),
    ]
    const hosts = []
    for (const rateHz of [99, 19]) hosts.push(...(await measureHost(rateHz, scale, folder)))
    return [...walks, ...hosts]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface BenchAgent {
  handle: AgentHandle
  pid: number
  batches: WriteRequest[]
  /** Resolves with the agent's counters when it and its server are gone. */
  stop(): Promise<Record<string, number>>
}

/** The agent as it runs beside a server: to a gRPC server in this process, whose CPU does not count. */
async function startBenchAgent(
  rateHz: number,
  folder: string,
  config: { windowMs?: number } = {},
): Promise<BenchAgent> {
  const server = await startTestServer()
  const handle = startAgent({
    config: { server: server.address, spoolDir: join(folder, 'spool'), rateHz, ...config },
    elevate: 'never',
    reportsWithoutProfiling: false,
    onLog: () => {},
  })
  const { pid } = await handle.ready
  return {
    handle,
    pid,
    batches: server.batches,
    async stop() {
      const { counters } = await handle.stop()
      server.stop()
      return counters ?? {}
    },
  }
}

/** settleMs: from the program's start until the agent's cost counts. */
async function walk(
  folder: string,
  hz: number,
  niceness: number,
  settleMs: number,
  program: string[],
): Promise<WalkCost> {
  const { stdout } = await promisify(execFile)(join(folder, 'walk_stats'), [
    String(hz),
    String(niceness),
    String(settleMs),
    ...program,
  ])
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as WalkCost
}

/** The agent's walk by tables and the kernel's walk along frame pointers, in turn, of the same recursion. */
async function measureWalks(
  name: string,
  hz: number,
  touchedBytes: number,
  seconds: number,
  budget: string,
  scale: Scale,
  folder: string,
): Promise<Figure[]> {
  // Windows end while the spin lives: what it was is asked then.
  const agent = await startBenchAgent(hz, folder, { windowMs: 200 })
  const spin = (program: string, cpuSeconds: number) => [
    join(folder, program),
    ...[cpuSeconds, cpus().length, depth, touchedBytes].map(String),
  ]
  const ours: WalkCost[] = []
  const theirs: WalkCost[] = []
  // The agent knows the binary from its second run on.
  await walk(folder, 0, walkNiceness, settleMs, spin('spin', 0.5))
  for (let trial = 0; trial < scale.trials; trial++) {
    ours.push(await walk(folder, 0, walkNiceness, settleMs, spin('spin', seconds)))
    theirs.push(await walk(folder, hz, walkNiceness, settleMs, spin('spin_fp', seconds)))
  }
  await agent.stop()
  const frames = medianDepth(agent.batches, 'spin')
  const oursNs = ours.map(({ agentNs, agentRuns }) => agentNs / agentRuns / frames)
  const theirNs = theirs.map(({ fpNs, fpFrames }) => fpNs / fpFrames)
  return [
    figure(`walk_${name}_frames`, 'frames', [frames]),
    figure(`walk_${name}_per_frame`, 'ns', oursNs),
    figure(`kernel_walk_${name}_per_frame`, 'ns', theirNs),
    figure(
      `walk_${name}_beside_kernel`,
      'x',
      oursNs.map((ns, trial) => ns / theirNs[trial]!),
      budget,
    ),
  ]
}

/** Frames of the middle sample of one executable: those from before the agent knew it have one. */
function medianDepth(batches: WriteRequest[], executable: string): number {
  const depths: number[] = []
  for (const { pprof, series } of batches.flatMap(batch => batch.bodies)) {
    const profile = decodePprof(gunzipSync(pprof))
    const isWanted = series.map(({ labels }) =>
      labels.some(({ name, value }) => name === 'process_executable_name' && value === executable),
    )
    for (let sample = 0; sample + 1 < profile.stackOffset.length; sample++) {
      let index = 0
      for (let at = profile.labelOffset[sample]!; at < profile.labelOffset[sample + 1]!; at++)
        if (profile.labelStrings[profile.labelKey[at]!] === SERIES_LABEL)
          index = Number(profile.labelNumber[at])
      if (!isWanted[index]) continue
      const count = Number(profile.values[sample * profile.sampleTypes.length]! / profile.period)
      for (let each = 0; each < count; each++)
        depths.push(profile.stackOffset[sample + 1]! - profile.stackOffset[sample]!)
    }
  }
  if (depths.length === 0) throw new Error(`no sample of ${executable}`)
  return median(depths)
}

/** CPU of the agent's process and of its BPF program, on the host as it is and with every CPU busy. */
async function measureHost(rateHz: number, scale: Scale, folder: string): Promise<Figure[]> {
  const agent = await startBenchAgent(rateHz, folder)
  // Tables and names of what runs already are made now.
  await walk(folder, 0, 0, 0, ['/bin/sleep', String(scale.startSeconds)])
  const startSeconds = treeCpuSeconds(agent.pid)
  const figures: Figure[] = []
  const { hostSeconds } = scale
  const programs = {
    idle: ['/bin/sleep', String(hostSeconds)],
    busy: [join(folder, 'spin'), ...[hostSeconds * 0.9, cpus().length, 30, 2 ** 20].map(String)],
  }
  for (const [name, program] of Object.entries(programs)) {
    const since = performance.now()
    const before = { agent: treeCpuSeconds(agent.pid), busy: busyCpuSeconds() }
    const { agentNs } = await walk(folder, 0, 0, 0, program)
    const elapsed = (performance.now() - since) / 1000
    const used = treeCpuSeconds(agent.pid) - before.agent + agentNs / 1e9
    const busyCpus = (busyCpuSeconds() - before.busy) / elapsed
    const allowed = (rateHz === 99 ? 0.4 : 0.1) * busyCpus + 0.2
    figures.push(
      figure(`busy_cpus_${name}_${rateHz}hz`, 'cpus', [busyCpus]),
      figure(`agent_cpu_${name}_${rateHz}hz`, '%', [(used / elapsed) * 100], `<= ${allowed.toFixed(3)}`),
      figure(`of_which_bpf_${name}_${rateHz}hz`, '%', [(agentNs / 1e9 / elapsed) * 100]),
    )
  }
  const anonymous = treeAnonymousBytes(agent.pid) / 1e6
  const maps = bpfMapBytes(agent.pid) / 1e6
  const { samples = 0, samples_truncated: incomplete = 0 } = await agent.stop()
  if (rateHz !== 99) return figures
  return [
    figure('start_cpu', 's', [startSeconds], '<= 5'),
    ...figures,
    figure('memory', 'MB', [anonymous + maps], '<= 150'),
    figure('of_which_bpf_maps', 'MB', [maps]),
    figure('samples', 'samples', [samples]),
    figure('whole_stacks', '%', [(1 - incomplete / samples) * 100], '>= 99.96'),
  ]
}
