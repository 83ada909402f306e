import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const launcher = fileURLToPath(new URL('../../native/build/strobe-launch', import.meta.url))
const program = fileURLToPath(new URL('./session-test-program.ts', import.meta.url))
const periodNs = 5_025_126 // 199 a second

interface Answer {
  processes: { pid: number; comm: string; exe: string; cmdline: string[]; nsPid: number; parentPid: number }[]
  stacks: { process: number; thread: string; result: string; count: number; frames: string[] }[]
  counters: Record<string, number>
  durationNs: string
}

/** Why this host cannot run the tests below, '' when it can. */
function refusal(): string {
  if (!existsSync(launcher)) return 'agent/native/build/strobe-launch is not built'
  if (process.getuid?.() !== 0) return 'needs root'
  const check = spawnSync(launcher, ['--check'], { encoding: 'utf8' })
  if (check.status !== 0) return `strobe-launch --check: ${check.stdout.slice(0, 200)}`
  if (spawnSync('cc', ['--version']).status !== 0) return 'needs a C compiler'
  return ''
}

/* Burns argv[1] seconds of CPU time below inner <- middle <- outer <- main, without frame pointers. */
const spinSource = `
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
__attribute__((noinline)) void inner(void) { for (int i = 0; i < 100000; i++) sink += i * sink; }
__attribute__((noinline)) void middle(void) { inner(); sink++; }
__attribute__((noinline)) void outer(void) { middle(); sink++; }
int main(int argc, char **argv) {
  double seconds = atof(argv[1]);
  struct timespec now;
  do { outer(); clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); } while (now.tv_sec + now.tv_nsec / 1e9 < seconds);
}`

/* Forks and execs itself argv[1] times, each child burning 20 ms below the same chain. */
const manySource = `
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (int i = 0; i < atoi(argv[1]); i++) {
    pid_t pid = fork();
    if (!pid) { execl(argv[2], argv[2], "0.02", (char *)0); _exit(1); }
    waitpid(pid, 0, 0);
  }
}`

const reason = refusal()

describe.skipIf(reason !== '')(`a session${reason && ` (not run: ${reason})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-session-'))
  let child: ChildProcess
  let lines: AsyncIterator<string>

  const ask = async (command: string) => {
    child.stdin?.write(`${command}\n`)
    const answer = await lines.next()
    return JSON.parse(answer.value ?? 'null')
  }
  const run = async (name: string, args: string[]) => {
    const running = spawn(join(folder, name), args)
    const [code] = await once(running, 'exit')
    expect(code).toBe(0)
    return running.pid
  }

  beforeAll(async () => {
    for (const [name, source] of [
      ['spin', spinSource],
      ['many', manySource],
    ] as const) {
      writeFileSync(join(folder, `${name}.c`), source)
      const built = spawnSync('cc', [
        '-O2',
        '-fomit-frame-pointer',
        '-o',
        join(folder, name),
        join(folder, `${name}.c`),
      ])
      expect(built.status, built.stderr.toString()).toBe(0)
    }
    chmodSync(folder, 0o755)
    child = spawn(
      launcher,
      ['--period-ns', String(periodNs), '--die-with-parent', '--', process.execPath, program],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    if (!child.stdout) throw new Error('no stdout')
    lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('started')
  }, 60_000)

  afterAll(() => {
    child.kill('SIGTERM')
    rmSync(folder, { recursive: true })
  })

  test('sees the CPU time of a program and its whole chain', { timeout: 60_000 }, async () => {
    const pid = await run('spin', ['2'])
    const answer: Answer = await ask('collect')
    /* The fork before its exec is an image of its own under the same pid. */
    const samplesOf = (index: number) =>
      answer.stacks.reduce((sum, stack) => sum + (stack.process === index ? stack.count : 0), 0)
    const process = [...answer.processes.keys()]
      .filter(index => answer.processes[index]?.pid === pid)
      .sort((a, b) => samplesOf(b) - samplesOf(a))[0]!
    expect(answer.processes[process]).toMatchObject({
      comm: 'spin',
      exe: join(folder, 'spin'),
      cmdline: [join(folder, 'spin'), '2'],
      nsPid: pid,
    })
    const stacks = answer.stacks.filter(stack => stack.process === process)
    const total = stacks.reduce((sum, stack) => sum + stack.count, 0)
    const whole = stacks
      .filter(stack => stack.result === 'complete')
      .filter(stack => /(inner )?(middle )?(outer )?main .*_start$/.test(stack.frames.join(' ')))
      .reduce((sum, stack) => sum + stack.count, 0)
    expect((total * periodNs) / 1e9).toBeGreaterThan(1.8)
    expect((total * periodNs) / 1e9).toBeLessThan(2.2)
    expect(whole / total).toBeGreaterThan(0.97)
    expect(stacks.every(stack => stack.thread === 'spin')).toBe(true)
  })

  test('unwinds processes that live 20 ms, each with its own start and image', {
    timeout: 60_000,
  }, async () => {
    await run('many', ['60', join(folder, 'spin')])
    const answer: Answer = await ask('collect')
    const spins = new Set(
      answer.processes.flatMap((process, index) => (process.comm === 'spin' ? [index] : [])),
    )
    expect(spins.size).toBeGreaterThan(50)
    const stacks = answer.stacks.filter(stack => spins.has(stack.process))
    const total = stacks.reduce((sum, stack) => sum + stack.count, 0)
    const whole = stacks
      .filter(stack => stack.result === 'complete')
      .reduce((sum, stack) => sum + stack.count, 0)
    expect(total).toBeGreaterThan(180) // 60 x 20 ms at 199 a second are 239
    expect(whole / total).toBeGreaterThan(0.9)
    /* A wrong table gives whole stacks too, of other functions. */
    const inSpin = stacks
      .filter(stack => stack.frames.includes('inner'))
      .reduce((sum, stack) => sum + stack.count, 0)
    expect(inSpin / total).toBeGreaterThan(0.8)
  })

  test('stops with its samples flushed and its counters kept', { timeout: 60_000 }, async () => {
    const answer = await ask('stop')
    expect(answer.secondStart).toBe('SESSION_STARTED')
    expect(answer.totals.samples).toBeGreaterThan(400)
    expect(answer.totals.map_bytes).toBeGreaterThan(1_000_000)
    expect(answer.totals.symbol_bytes).toBeGreaterThan(0)
    /* Node is above the size that is built unasked: its own samples asked for it. */
    /* By name: copies of one build id are one file, under the path of whichever ran first. */
    const name = basename(realpathSync(process.execPath))
    const files = answer.files.filter((file: { path: string }) => basename(file.path) === name)
    expect(files).toContainEqual(
      expect.objectContaining({ state: 'ready', buildId: expect.stringMatching(/^[0-9a-f]{40}$/) }),
    )
    const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
    expect(code).toBe(0)
  })
})
