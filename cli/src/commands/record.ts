import { type ChildProcess, spawn } from 'node:child_process'
import { rename, rm, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { type AgentHandle, startAgent } from '@strobe/agent'
import {
  columnStacks,
  encodePprof,
  formatFolded,
  formatSpeedscope,
  formatValue,
  type Profile,
  resolveStacks,
} from '@strobe/profile'
import type { Command } from 'commander'
import { CliError, type CommandContext, exitCodes } from '../command.ts'
import { withElapsed } from '../progress.ts'
import { Recording, type RecordingSummary } from '../record/recording.ts'
import { formatTable } from '../table.ts'

interface RecordOptions {
  duration?: number
  frequency: number
  pid?: number
  output?: string
  format?: Format
  limit: number
  kernelStacks: boolean
  json?: boolean
}

type Format = 'pprof' | 'folded' | 'speedscope'

/** How the program that was started ended, as far as it did before the recording was over. */
interface CommandEnd {
  code: number | null
  signal: string | null
}

/** Short windows, so that a parent that lives a second is still there to be asked whose child it is. */
const windowMs = 1000
const commandGraceMs = 2000

export function configure(command: Command, context: CommandContext): void {
  command
    .argument(
      '[command...]',
      'program to start and profile, after --; only it and its descendants are recorded',
    )
    .option(
      '-d, --duration <time>',
      'how long: 500ms, 10s, 2m (default: until the program ends, else 10s)',
      parseTime,
    )
    .option('-F, --frequency <hz>', 'samples a second on each CPU', integer(1, 4999), 99)
    .option('-p, --pid <pid>', 'record this process and its descendants', integer(1, 4_194_304))
    .option('-o, --output <file>', 'write the profile here; - is stdout')
    .option(
      '--format <format>',
      'pprof, folded or speedscope (default: by the name of the file)',
      parseFormat,
    )
    .option('-n, --limit <count>', 'functions to print', integer(1, 10_000), 20)
    .option('--no-kernel-stacks', 'leave out kernel frames')
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
Without a program and -p the whole host is recorded. Ctrl-C ends early and still writes.
A program that still runs when -d is over is ended with SIGTERM. Its output is left alone, its exit code
is told; the exit code of record is 0 when the recording succeeded, whatever the program's.
Sampling needs root: a plain user is asked by sudo, and the program still runs as that user.

  strobe record -d 5 -- ./server --port 80
  strobe record -p 1234 -o api.pb.gz && go tool pprof -http : api.pb.gz`,
    )
    .action((program: string[], options: RecordOptions) => record(program, options, context))
}

async function record(program: string[], options: RecordOptions, context: CommandContext): Promise<void> {
  if (program.length > 0 && options.pid !== undefined)
    throw new CliError('give a program or --pid, not both', exitCodes.usage)
  if (options.format && !options.output)
    throw new CliError('--format needs --output FILE (- for stdout)', exitCodes.usage)

  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.on('SIGINT', onInterrupt).on('SIGTERM', onInterrupt)
  const recording = new Recording()
  const isRoot = process.getuid?.() === 0
  if (!isRoot && context.isTerminal)
    context.note('strobe: sampling needs root; sudo may ask for your password')
  const agent = startAgent({
    config: {
      ...{ output: 'pipe', windowMs, rateHz: options.frequency, kernelStacks: options.kernelStacks },
      ...{ logLevel: 'warn', target: program.length > 0 ? 'none' : String(options.pid ?? 'all') },
    },
    elevate: context.isTerminal ? 'ask' : 'quietly',
    reportsWithoutProfiling: false,
    onBatch: batch => recording.add(batch),
    onLog: line => context.note(line),
  })
  try {
    await withElapsed(context, 'strobe: reading the programs that run', agent.ready)
    const end = await recordUntilDone(agent, program, options, interrupt.signal, context)
    if (agent.hasEnded)
      throw new CliError('the agent ended before the recording was over; its last words are above')
    const { code, counters } = await agent.stop()
    if (counters === null) throw new CliError(`the agent ended without its last window (exit code ${code})`)
    const result = recording.finish()
    if (!result) {
      const what = program[0] ?? (options.pid === undefined ? 'the host' : `process ${options.pid}`)
      throw new CliError(
        `no samples: ${what} used no CPU time while it was recorded${describeEnd(program, end)}`,
      )
    }
    await writeProfile(result.profile, options, context)
    if (options.output !== '-') print(result.summary, program, end, options, context)
  } finally {
    await agent.stop()
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
  }
}

/** Resolves when the program ended, the time is over, the user interrupted or the agent is gone. */
async function recordUntilDone(
  agent: AgentHandle,
  program: string[],
  options: RecordOptions,
  interrupted: AbortSignal,
  context: CommandContext,
): Promise<CommandEnd | null> {
  const done = new AbortController()
  const waits: Promise<unknown>[] = [
    agent.ended,
    new Promise<void>(resolve => {
      if (interrupted.aborted) resolve()
      interrupted.addEventListener('abort', () => resolve(), { once: true })
    }),
  ]
  const durationMs = options.duration ?? (program.length > 0 ? null : 10_000)
  let child: ChildProcess | null = null
  let end: CommandEnd | null = null
  let ended: Promise<void> = Promise.resolve()
  if (program.length > 0) {
    child = await startProgram(program)
    agent.setTarget(child.pid!)
    ended = new Promise(resolve => {
      child!.on('exit', (code, signal) => {
        end = { code, signal }
        resolve()
      })
    })
    waits.push(ended)
  } else if (context.isTerminal)
    context.note(`strobe: recording for ${durationMs! / 1000} s; Ctrl-C ends early`)
  if (durationMs !== null) waits.push(delay(durationMs, undefined, { signal: done.signal }).catch(() => {}))
  await Promise.race(waits)
  done.abort()
  if (child && !end) {
    child.kill('SIGTERM')
    await Promise.race([ended, delay(commandGraceMs, undefined, { ref: false })])
    if (!end) child.kill('SIGKILL')
    await ended
  }
  return end
}

/** The program has the caller's own rights, terminal and folder. */
function startProgram(program: string[]): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const child = spawn(program[0]!, program.slice(1), { stdio: 'inherit' })
    child.on('spawn', () => resolve(child))
    child.on('error', error => reject(new CliError(`${program[0]} cannot be started: ${error.message}`)))
  })
}

async function writeProfile(
  profile: Profile,
  options: RecordOptions,
  context: CommandContext,
): Promise<void> {
  const { output } = options
  if (output === undefined) return
  const bytes = formatProfile(profile, options.format ?? formatOf(output))
  if (output === '-') {
    await new Promise<void>(resolve => process.stdout.write(bytes, () => resolve()))
    return
  }
  // A reader never finds half a file under the name.
  const temporary = `${output}.${process.pid}.tmp`
  try {
    await writeFile(temporary, bytes)
    await rename(temporary, output)
  } catch (error) {
    await rm(temporary, { force: true })
    throw new CliError(`${output} cannot be written: ${(error as Error).message}`)
  }
  context.note(`strobe: wrote ${output} (${formatValue(bytes.length, 'bytes')})`)
}

function formatProfile(profile: Profile, format: Format): Uint8Array {
  if (format === 'pprof') return gzipSync(encodePprof(profile))
  const stacks = columnStacks(resolveStacks(profile), 0)
  if (format === 'folded') return Buffer.from(formatFolded(stacks, stacks.values, stacks.frames))
  return Buffer.from(formatSpeedscope('strobe record', 'nanoseconds', stacks, stacks.values, stacks.frames))
}

function formatOf(file: string): Format {
  if (/\.(folded|collapsed|txt)$/.test(file)) return 'folded'
  return file.endsWith('.json') ? 'speedscope' : 'pprof'
}

function print(
  summary: RecordingSummary,
  program: string[],
  end: CommandEnd | null,
  options: RecordOptions,
  context: CommandContext,
): void {
  const total = summary.samples * summary.periodNs
  const functions = summary.functions.slice(0, options.limit)
  if (options.json) {
    const rows = functions.map(({ frame, self, total }) => ({ ...frame, self, total }))
    context.print(
      JSON.stringify({ ...summary, functions: rows, total, unit: 'nanoseconds', command: end }, null, 2),
    )
    return
  }
  context.print(
    formatTable(
      [
        { title: 'self', isNumber: true },
        { title: '', isNumber: true },
        { title: 'total', isNumber: true },
        { title: '', isNumber: true },
        { title: 'module' },
        { title: 'function' },
      ],
      functions.map(({ frame, self, total: functionTotal }) => [
        formatValue(self, 'nanoseconds'),
        percent(self / total),
        formatValue(functionTotal, 'nanoseconds'),
        percent(functionTotal / total),
        frame.module,
        frame.name,
      ]),
      context.width,
    ),
  )
  const left = summary.functions.length - functions.length
  if (left > 0) context.print(`${left} more functions; --limit shows them`)
  const cores = formatValue(total / summary.durationNs, 'cores')
  context.print('')
  context.print(
    `${summary.samples} samples, ${formatValue(total, 'nanoseconds')} of CPU in ${formatValue(summary.durationNs, 'nanoseconds')} (${cores})`,
  )
  context.print(
    `${percent(1 - summary.incomplete / summary.samples)} of stacks reach their root, ${summary.lost} samples lost, ` +
      `${percent(summary.unsymbolized / summary.samples)} of leaves have no name`,
  )
  if (program.length > 0) context.print(describeEnd(program, end).replace(/^; /, ''))
}

function describeEnd(program: string[], end: CommandEnd | null): string {
  if (!end) return ''
  return `; ${program[0]} ${end.signal ? `was ended by ${end.signal}` : `exited with code ${end.code}`}`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

function parseTime(text: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit]
  const ms = Number(number) * (factor ?? Number.NaN)
  if (!(ms >= 10 && ms <= 86_400_000))
    throw new CliError(
      `a duration is 500ms, 10s, 2m or 1h, from 10ms to 24h; "${text}" is none`,
      exitCodes.usage,
    )
  return ms
}

function integer(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new CliError(`"${text}" is no whole number from ${min} to ${max}`, exitCodes.usage)
  }
}

function parseFormat(text: string): Format {
  if (text === 'pprof' || text === 'folded' || text === 'speedscope') return text
  throw new CliError(`--format takes pprof, folded or speedscope, not "${text}"`, exitCodes.usage)
}
