import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { encodePprof } from '@strobe/profile'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import type { NativePerfMaps, NativeSession, NativeSymbols, NativeWindow } from '../bpf/native.ts'
import type { AgentMetrics } from '../metrics.ts'
import type { ProcessTable } from '../processes/process-table.ts'
import type { FrameWord } from './frame-words.ts'
import { readJitNames } from './jit-names.ts'
import type { FrameLine, FrameSymbol, SymbolCache } from './symbol-cache.ts'
import { buildWindowProfile } from './window-profile.ts'

/** The clocks a window is placed by, read at one moment, in nanoseconds. */
export interface ClockReading {
  wallNs: bigint
  monotonicNs: bigint
  boottimeNs: bigint
}

export interface WindowBatchOptions {
  session: Pick<NativeSession, 'symbolize' | 'files'>
  processes: ProcessTable
  symbols: SymbolCache
  perfMaps: NativePerfMaps
  metrics: AgentMetrics
  resultNames: readonly string[]
  periodNs: number
  readClocks: () => ClockReading
}

const gzipBytes = promisify(gzip)

/**
 * Turns a window into the batch that goes to the server; null when it holds no series at all.
 *
 * Places the window by the monotonic clock: a step of the wall clock moves it but never stretches it.
 */
export async function buildWindowBatch(
  window: NativeWindow,
  options: WindowBatchOptions,
): Promise<WriteRequest | null> {
  const { session, processes, metrics, periodNs } = options
  const clocks = options.readClocks()
  const sinceStart = clocks.monotonicNs - window.startNs
  const observed = processes.observe(window, clocks.boottimeNs - sinceStart)
  const timeUnixNanos = clocks.wallNs - sinceStart
  const durationNanos = window.endNs - window.startNs
  const lost = window.counters.samples_lost ?? 0
  metrics.add('windows')
  metrics.add('series_omitted', observed.omittedIdleSeries)
  metrics.add('samples_lost', lost)
  metrics.add('samples_refused', observed.refusedSamples)
  if (observed.series.length === 0) return null

  const { profile, series } = await buildWindowProfile({
    window,
    observed,
    files: new Map(session.files().map(file => [file.id, file])),
    jitNames: await readJitNames(window, options.perfMaps),
    symbolize: frames => symbolizeFrames(frames, session, options.symbols),
    periodNs,
    timeUnixNanos,
    resultNames: options.resultNames,
    lost,
  })
  for (const counts of series) {
    metrics.add('samples', counts.samples)
    metrics.add('samples_truncated', counts.truncated)
    metrics.add('samples_unsymbolized', counts.unsymbolized)
  }
  metrics.add('profiles', series.length)
  return create(WriteRequestSchema, {
    batchId: randomBytes(16),
    bodies: [
      {
        pprof: await gzipBytes(encodePprof(profile)),
        series: observed.series.map(({ labels, expected }, index) => ({
          labels: labels.map(([name, value]) => ({ name, value })),
          profileName: 'process_cpu',
          sampleTypeIndex: 0,
          timeUnixNanos,
          durationNanos,
          period: BigInt(periodNs),
          expected: BigInt(expected),
          lost: BigInt(series[index]!.lost),
          truncated: BigInt(series[index]!.truncated),
          unsymbolized: BigInt(series[index]!.unsymbolized),
        })),
      },
    ],
  })
}

/**
 * A frame without a name is asked for again in the next window: its file may have been read by then. So is one
 * whose lines of source are still on their way.
 */
async function symbolizeFrames(
  frames: FrameWord[],
  session: Pick<NativeSession, 'symbolize'>,
  cache: SymbolCache,
): Promise<FrameSymbol[]> {
  const answers: (FrameSymbol | undefined)[] = frames.map(frame => cache.get(frame.scope, frame.position))
  const missing = frames.flatMap((frame, index) =>
    answers[index] || frame.kind === 'jit' || frame.kind === 'interpreted' ? [] : [index],
  )
  if (missing.length > 0) {
    const words = new BigUint64Array(missing.length * 2)
    for (const [at, index] of missing.entries()) {
      words[at * 2] = frames[index]!.header
      words[at * 2 + 1] = frames[index]!.payload
    }
    const found = await session.symbolize(words)
    for (const [at, index] of missing.entries()) {
      const { scope, position } = frames[index]!
      const symbol = { lines: linesOf(found, at), address: found.address[at]! }
      if (symbol.lines.length > 0 && found.isFinal[at]) cache.set(scope, position, symbol)
      answers[index] = symbol
    }
  }
  return answers.map(answer => answer ?? { lines: [], address: 0n })
}

function linesOf(symbols: NativeSymbols, frame: number): FrameLine[] {
  const lines: FrameLine[] = []
  for (let at = symbols.lineOffset[frame]!; at < symbols.lineOffset[frame + 1]!; at++)
    lines.push({
      name: symbols.strings[symbols.name[at]!] ?? '',
      systemName: symbols.strings[symbols.systemName[at]!] ?? '',
      file: symbols.strings[symbols.sourceFile[at]!] ?? '',
      line: symbols.line[at]!,
      startLine: symbols.startLine[at]!,
    })
  return lines
}
