import type { FunctionInfo, Mapping, Profile } from '@strobe/profile'
import { unwindResults } from '../bpf/frame-layout.ts'
import type { NativeFile, NativeWindow } from '../bpf/native.ts'
import type { ObservedWindow } from '../processes/process-table.ts'
import { decodeFrameWords, type FrameWord } from './frame-words.ts'
import type { JitNames } from './jit-names.ts'
import type { FrameLine, FrameSymbol } from './symbol-cache.ts'

/** Names the frames asked for; one answer per frame, without lines when unknown. */
export type Symbolize = (frames: FrameWord[]) => Promise<FrameSymbol[]>

export interface WindowProfileInput {
  window: NativeWindow
  observed: ObservedWindow
  /** Files by id. */
  files: ReadonlyMap<number, NativeFile>
  symbolize: Symbolize
  jitNames: JitNames
  periodNs: number
  /** Start of the window by the wall clock. */
  timeUnixNanos: bigint
  /** Names of enum unwind_result. */
  resultNames: readonly string[]
  /** Samples the kernel took and could not deliver in this window, of all series. */
  lost: number
}

/** Beside the body: what each series' samples are worth. Parallel to ObservedWindow.series. */
export interface SeriesCounts {
  samples: number
  lost: number
  truncated: number
  unsymbolized: number
}

export interface WindowProfile {
  profile: Profile
  series: SeriesCounts[]
}

/** Results after which the stack is whole: STOP, zero return address, kernel thread. */
const lastWholeResult = unwindResults.kernelThread

/**
 * Makes the one pprof body of a host's window. Each sample carries its series in the numeric label
 * `strobe_series` and its thread in `thread_name`; samples of several processes of a series are one.
 *
 * A stack that does not reach its root ends in a frame that says so, `[truncated]` (deeper than the limit)
 * or `[incomplete: RESULT]`, so that the last frame found never passes for a root.
 *
 *   NATIVE file 3 + 0x1139     location 0x401139 in a.out's mapping, a line for each inlined call, then `work`
 *   KERNEL 0xffffffff81000000  location in [kernel.kallsyms]
 *   JIT with a name            location in [anon] without an address, function as the perf-map has it
 *   JIT JIT JIT                one `[jit]`: their depth means nothing without names
 *
 * Mappings span all addresses with offset 0, which is how pprof tools know addresses that are already the
 * ELF file's own (google/pprof internal/elfexec GetBase).
 */
export async function buildWindowProfile(input: WindowProfileInput): Promise<WindowProfile> {
  const { window, observed, resultNames, periodNs } = input
  const frames = new FrameTable()
  const stacks = new Map<string, Stack>()
  const rows = new Map<string, Row>()
  const counts: SeriesCounts[] = observed.series.map(() => ({
    samples: 0,
    lost: 0,
    truncated: 0,
    unsymbolized: 0,
  }))

  for (let row = 0; row < window.sampleStack.length; row++) {
    const series = observed.seriesOfProcess[window.sampleProcess[row]!]!
    if (series < 0) continue
    const count = window.sampleCount[row]!
    const result = window.sampleResult[row]!
    const stackIndex = window.sampleStack[row]!
    const thread = window.threadNames[window.sampleThread[row]!] ?? ''
    counts[series]!.samples += count
    if (result > lastWholeResult) counts[series]!.truncated += count
    // The same addresses of JIT code are other functions in another process.
    const namesOfProcess = input.jitNames.get(window.sampleProcess[row]!)
    const owner = namesOfProcess ? window.sampleProcess[row]! : ''
    const stackKey = `${stackIndex}@${owner}:${result > lastWholeResult ? result : 0}`
    let stack = stacks.get(stackKey)
    if (!stack) {
      stack = readStack(window, stackIndex, result, resultNames, frames, namesOfProcess)
      stacks.set(stackKey, stack)
    }
    const rowKey = `${series}:${stackKey}:${thread}`
    const known = rows.get(rowKey)
    if (known) known.count += count
    else rows.set(rowKey, { series, stack, thread, count })
  }

  const symbols = await input.symbolize(frames.words)
  for (const { series, stack, count } of rows.values()) {
    const leaf = stack.frames[0]!
    if (leaf >= 0 && symbols[leaf]!.lines.length === 0) counts[series]!.unsymbolized += count
  }
  shareLost(counts, input.lost)

  const table = new LocationTable(frames, symbols, input.files)
  const profile = emptyProfile(periodNs, input.timeUnixNanos, window.endNs - window.startNs)
  const labelStrings = new StringTable()
  const seriesKey = labelStrings.index('strobe_series')
  const threadKey = labelStrings.index('thread_name')
  const stackOffset = new Uint32Array(rows.size + 1)
  const labelOffset = new Uint32Array(rows.size + 1)
  const stackLocation: number[] = []
  const labelKey: number[] = []
  const labelString: number[] = []
  const labelNumber: bigint[] = []
  const values = new BigInt64Array(rows.size)
  let sample = 0
  for (const { series, stack, thread, count } of rows.values()) {
    for (const frame of stack.frames) stackLocation.push(table.location(frame))
    values[sample] = BigInt(count) * BigInt(periodNs)
    labelKey.push(seriesKey)
    labelString.push(-1)
    labelNumber.push(BigInt(series))
    if (thread !== '') {
      labelKey.push(threadKey)
      labelString.push(labelStrings.index(thread))
      labelNumber.push(0n)
    }
    sample++
    stackOffset[sample] = stackLocation.length
    labelOffset[sample] = labelKey.length
  }
  return {
    series: counts,
    profile: {
      ...profile,
      ...table.columns(),
      stackOffset,
      stackLocation: Uint32Array.from(stackLocation),
      values,
      labelOffset,
      labelKey: Uint32Array.from(labelKey),
      labelString: Int32Array.from(labelString),
      labelNumber: BigInt64Array.from(labelNumber),
      labelUnit: new Int32Array(labelKey.length).fill(-1),
      labelStrings: labelStrings.strings,
    },
  }
}

interface Stack {
  /** Indices into FrameTable, leaf first. */
  frames: number[]
}

interface Row {
  series: number
  stack: Stack
  thread: string
  count: number
}

function readStack(
  window: NativeWindow,
  stackIndex: number,
  result: number,
  resultNames: readonly string[],
  frames: FrameTable,
  jitNames: ReadonlyMap<bigint, string> | undefined,
): Stack {
  const from = window.stackOffset[stackIndex]!
  const to = window.stackOffset[stackIndex + 1]!
  const list: number[] = []
  let last = -1
  for (const word of decodeFrameWords(window.stackWords, from, to)) {
    const name = word.kind === 'jit' ? jitNames?.get(word.payload) : undefined
    const frame = name === undefined ? frames.index(word) : frames.marker(name, '[anon]')
    if (name === undefined && frame === last && word.kind === 'jit') continue
    list.push(frame)
    last = frame
  }
  if (result === unwindResults.truncated) list.push(frames.marker('[truncated]'))
  else if (result > lastWholeResult)
    list.push(frames.marker(`[incomplete: ${(resultNames[result] ?? String(result)).replaceAll('_', ' ')}]`))
  // A whole stack without frames: a kernel thread while kernel stacks are off.
  if (list.length === 0) list.push(frames.marker('[kernel]', '[kernel.kallsyms]'))
  return { frames: list }
}

/** Distinct frames of a window: real ones count up from 0, markers down from -1. */
class FrameTable {
  readonly words: FrameWord[] = []
  /** Frames that are names only, with their mapping. */
  readonly markers: { name: string; mapping: string }[] = []
  readonly #byMarker = new Map<string, number>()
  readonly #byScope = new Map<number, Map<number, number>>()

  index(word: FrameWord): number {
    let positions = this.#byScope.get(word.scope)
    if (!positions) {
      positions = new Map()
      this.#byScope.set(word.scope, positions)
    }
    let index = positions.get(word.position)
    if (index === undefined) {
      index = this.words.push(word) - 1
      positions.set(word.position, index)
    }
    return index
  }

  marker(name: string, mapping = '[unwinder]'): number {
    const key = `${mapping}\0${name}`
    let index = this.#byMarker.get(key)
    if (index === undefined) {
      index = this.markers.push({ name, mapping }) - 1
      this.#byMarker.set(key, index)
    }
    return -1 - index
  }
}

class LocationTable {
  readonly #frames: FrameTable
  readonly #symbols: FrameSymbol[]
  readonly #files: ReadonlyMap<number, NativeFile>
  readonly #locationOf = new Map<number, number>()
  readonly #mappings: Mapping[] = []
  readonly #mappingOf = new Map<string, number>()
  readonly #functions: FunctionInfo[] = []
  readonly #functionOf = new Map<string, number>()
  readonly #addresses: bigint[] = []
  readonly #locationMapping: number[] = []
  readonly #lineOffset: number[] = [0]
  readonly #lineFunction: number[] = []
  readonly #lineNumber: number[] = []

  constructor(frames: FrameTable, symbols: FrameSymbol[], files: ReadonlyMap<number, NativeFile>) {
    this.#frames = frames
    this.#symbols = symbols
    this.#files = files
  }

  location(frame: number): number {
    let location = this.#locationOf.get(frame)
    if (location === undefined) {
      location = this.#add(frame)
      this.#locationOf.set(frame, location)
    }
    return location
  }

  #add(frame: number): number {
    const word = this.#frames.words[frame]
    if (!word) {
      const { name, mapping } = this.#frames.markers[-1 - frame]!
      return this.#push(0n, this.#mapping(mapping, ''), namedLine(name))
    }
    const symbol = this.#symbols[frame]!
    if (word.kind === 'jit') return this.#push(0n, this.#mapping('[anon]', ''), namedLine('[jit]'))
    if (word.kind === 'interpreted') return this.#push(0n, -1, namedLine('[interpreted]'))
    if (word.kind === 'kernel') {
      const mapping = this.#mapping('[kernel.kallsyms]', this.#files.get(0)?.buildId ?? '')
      return this.#push(symbol.address || word.payload, mapping, symbol.lines)
    }
    const file = this.#files.get(word.fileId)
    const mapping = this.#mapping(file?.path || `[file ${word.fileId}]`, file?.buildId ?? '')
    const address = symbol.address || (file?.lowestVaddr ?? 0n) + BigInt(word.position)
    return this.#push(address, mapping, symbol.lines)
  }

  #push(address: bigint, mapping: number, lines: readonly FrameLine[]): number {
    for (const line of lines) {
      this.#lineFunction.push(this.#function(line))
      this.#lineNumber.push(line.line)
    }
    this.#lineOffset.push(this.#lineFunction.length)
    this.#locationMapping.push(mapping)
    return this.#addresses.push(BigInt.asUintN(64, address)) - 1
  }

  #mapping(file: string, buildId: string): number {
    const key = `${buildId}\0${file}`
    let index = this.#mappingOf.get(key)
    if (index === undefined) {
      index = this.#mappings.push({ start: 0n, limit: 0xffffffffffffffffn, offset: 0n, file, buildId }) - 1
      this.#mappingOf.set(key, index)
    }
    return index
  }

  #function({ name, systemName, file, startLine }: FrameLine): number {
    const key = `${name}\0${systemName}\0${file}\0${startLine}`
    let index = this.#functionOf.get(key)
    if (index === undefined) {
      index = this.#functions.push({ name, systemName: systemName || name, file, startLine }) - 1
      this.#functionOf.set(key, index)
    }
    return index
  }

  columns() {
    return {
      mappings: this.#mappings,
      functions: this.#functions,
      locationAddress: BigUint64Array.from(this.#addresses),
      locationMapping: Int32Array.from(this.#locationMapping),
      lineOffset: Uint32Array.from(this.#lineOffset),
      lineFunction: Int32Array.from(this.#lineFunction),
      lineNumber: Uint32Array.from(this.#lineNumber),
    }
  }
}

const namedLine = (name: string): FrameLine[] => [{ name, systemName: name, file: '', line: 0, startLine: 0 }]

class StringTable {
  readonly strings: string[] = []
  readonly #indexOf = new Map<string, number>()

  index(text: string): number {
    let index = this.#indexOf.get(text)
    if (index === undefined) {
      index = this.strings.push(text) - 1
      this.#indexOf.set(text, index)
    }
    return index
  }
}

function emptyProfile(periodNs: number, timeNanos: bigint, durationNanos: bigint) {
  return {
    sampleTypes: [{ type: 'cpu', unit: 'nanoseconds' }],
    defaultSampleType: 'cpu',
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    period: BigInt(periodNs),
    timeNanos,
    durationNanos,
    comments: [],
  }
}

/** The kernel counts lost samples per CPU, not per process: each series bears its share of what arrived. */
function shareLost(series: SeriesCounts[], lost: number): void {
  const total = series.reduce((sum, counts) => sum + counts.samples, 0)
  if (lost === 0 || total === 0) return
  let seen = 0
  let given = 0
  for (const counts of series) {
    seen += counts.samples
    // Rounding the running sum keeps the parts' sum exact.
    const upTo = Math.round((lost * seen) / total)
    counts.lost = upTo - given
    given = upTo
  }
}
