import { IdentityHasher, type SampleLabel } from '../identity.ts'
import type { FrameKind, ValueType } from '../model.ts'
import { DEFAULT_RESOLVE_LIMITS, type ResolveLimits } from '../normalize.ts'
import { grown, roomyInt32, roomyUint32 } from '../pprof/grown.ts'
import { DEFAULT_PPROF_LIMITS, type PprofLimits } from '../pprof/limits.ts'
import { PprofScanner } from '../pprof/scanner.ts'
import { StringTable } from '../pprof/string-table.ts'
import { CUT_MARKER } from './cut-stacks.ts'
import { FileKinds, kindOfModule, moduleOf } from './frame-kind.ts'
import { fileAddress } from './frame-table.ts'
import { LabelsetTable } from './labelset-table.ts'
import { tooManyFrames } from './stack-table.ts'

const markerName = new TextEncoder().encode(CUT_MARKER.name)
const noText = new Uint8Array(0)

/**
 * One pprof message after another, with the identities that resolveStacks() gives, and nothing that a
 * store which has seen them does not need: no object per sample, frame or function, no text decoded.
 *
 * A frame here is one line of one location, or a location without lines: two frames may have one id.
 * Ids are unsigned 32-bit halves, low first. Columns are good until the next read(), up to their count.
 */
export class PprofBody {
  readonly #limits: PprofLimits
  readonly #resolveLimits: ResolveLimits
  readonly #hasher = new IdentityHasher()
  readonly #scanner = new PprofScanner(new StringTable(this.#hasher))
  readonly #labelsets: LabelsetTable

  /** Messages read. */
  reads = 0
  /** Samples, equal ones summed. */
  samples = 0
  sampleStack = new Uint32Array(0)
  sampleLabelset = new Uint32Array(0)
  /** The value of the series label, 0 without it. It is not checked against a list of series. */
  sampleSeries = new Uint32Array(0)
  /** samples x sampleTypes, as halves. */
  valueHalves = new Uint32Array(0)

  stacks = 0
  stackIds = new Uint32Array(256)
  /** stacks + 1 offsets into stackFrame. */
  stackOffset = new Uint32Array(129)
  /** Leaf first. */
  stackFrame = new Uint32Array(1024)
  /** 1 of a stack that lost its root side to maxStackDepth; CUT_MARKER is its root. */
  stackIsCut = new Uint8Array(128)

  frames = 0
  frameIds = new Uint32Array(0)
  /** Position of the profile's function, -1 when unnamed. */
  frameFunction = new Int32Array(0)
  /** Of the function in the frame's module; of a frame without a name, the module's function without one. */
  frameFunctionIds = new Uint32Array(0)
  frameLine = new Uint32Array(0)
  /** Position in modules and buildIds. */
  frameMapping = new Uint32Array(0)
  /** Halves, relative to the file; 0 for a named frame. */
  frameAddress = new Uint32Array(0)

  /** Base names of mappings, '' for no mapping, and the module of CUT_MARKER. */
  modules: string[] = []
  buildIds: string[] = []

  #maxStackDepth = Number.POSITIVE_INFINITY
  #frameOffset = new Uint32Array(1)
  #functionText = new Uint32Array(0)
  #functionMapping = new Int32Array(0)
  #functionIds = new Uint32Array(0)
  #stackOfList = new Int32Array(0)
  #slots = new Int32Array(256)
  #mask = 255
  #sampleSlots = new Int32Array(64)
  readonly #kinds = new FileKinds()

  constructor(limits: PprofLimits = DEFAULT_PPROF_LIMITS, resolveLimits: Partial<ResolveLimits> = {}) {
    this.#limits = limits
    this.#resolveLimits = { ...DEFAULT_RESOLVE_LIMITS, ...resolveLimits }
    this.#labelsets = new LabelsetTable(this.#hasher, this.#resolveLimits)
  }

  get sampleTypes(): ValueType[] {
    return this.#scanner.sampleTypes
  }

  get periodType(): ValueType {
    return this.#scanner.periodType
  }

  get period(): bigint {
    return this.#scanner.layout.period
  }

  get timeNanos(): bigint {
    return this.#scanner.layout.timeNanos
  }

  get durationNanos(): bigint {
    return this.#scanner.layout.durationNanos
  }

  /** Distinct sample label sets without the series label; the first is the empty set. */
  get labelsets(): SampleLabel[][] {
    return this.#labelsets.sets
  }

  /** Halves. */
  get labelsetIds(): ArrayLike<number> {
    return this.#labelsets.ids
  }

  /** Samples whose labels were folded into FOLDED_LABELSET. */
  get labelsFolded(): number {
    return this.#labelsets.folded
  }

  /** Samples x sampleTypes. */
  get values(): BigInt64Array {
    return new BigInt64Array(this.valueHalves.buffer, 0, this.samples * this.sampleTypes.length)
  }

  /**
   * bytes: decompressed; they must not change before the next read(). Throws PPROF_*.
   * maxStackDepth: deeper stacks keep so many frames of their leaf side, as cutStacks() does it.
   */
  read(bytes: Uint8Array, maxStackDepth = Number.POSITIVE_INFINITY): this {
    this.reads++
    this.#maxStackDepth = maxStackDepth
    this.#scanner.scan(bytes, this.#limits)
    this.#addFrames()
    this.#addSamples()
    return this
  }

  isNamed(frame: number): boolean {
    return this.frameFunction[frame]! >= 0
  }

  frameKind(frame: number): FrameKind {
    const fn = this.frameFunction[frame]!
    if (fn < 0) return 'unsymbolized'
    const { strings, functionFile, functions } = this.#scanner
    return (
      kindOfModule(this.modules[this.frameMapping[frame]!]!) ??
      this.#kinds.of(fn === functions ? CUT_MARKER.file : strings.get(functionFile[fn]!))
    )
  }

  /** UTF-8. Of a function with nothing but a system name, that. */
  functionName(fn: number): Uint8Array {
    const { strings, functionName, functionSystemName, functions } = this.#scanner
    if (fn === functions) return markerName
    return strings.utf8(strings.isEmpty(functionName[fn]!) ? functionSystemName[fn]! : functionName[fn]!)
  }

  functionSystemName(fn: number): Uint8Array {
    if (fn === this.#scanner.functions) return noText
    return this.#scanner.strings.utf8(this.#scanner.functionSystemName[fn]!)
  }

  functionFile(fn: number): Uint8Array {
    if (fn === this.#scanner.functions) return noText
    return this.#scanner.strings.utf8(this.#scanner.functionFile[fn]!)
  }

  functionStartLine(fn: number): number {
    return fn === this.#scanner.functions ? CUT_MARKER.startLine : this.#scanner.functionStartLine[fn]!
  }

  /** Puts the id of a stack over functions at entry `entry` of `halves`. */
  storeFunctionStackId(stack: number, halves: Uint32Array, entry: number): void {
    const hasher = this.#hasher
    hasher.beginStack(true)
    for (let at = this.stackOffset[stack]!; at < this.stackOffset[stack + 1]!; at++) {
      const frame = this.stackFrame[at]!
      hasher.addToStack(this.frameFunctionIds[2 * frame]!, this.frameFunctionIds[2 * frame + 1]!)
    }
    hasher.finishStack().store(halves, entry)
  }

  #addFrames(): void {
    const scanner = this.#scanner
    const hasher = this.#hasher
    const { mappings, locations, lineOffset, lineFunction, lineNumber, addressHalves, strings } = scanner
    const room = scanner.lines + locations + 1
    this.frameIds = roomyUint32(this.frameIds, 2 * room)
    this.frameFunction = roomyInt32(this.frameFunction, room)
    this.frameFunctionIds = roomyUint32(this.frameFunctionIds, 2 * room)
    this.frameLine = roomyUint32(this.frameLine, room)
    this.frameMapping = roomyUint32(this.frameMapping, room)
    this.frameAddress = roomyUint32(this.frameAddress, 2 * room)
    this.#frameOffset = roomyUint32(this.#frameOffset, locations + 1)
    const { frameIds, frameFunction, frameFunctionIds, frameLine, frameMapping, frameAddress } = this
    const frameOffset = this.#frameOffset

    const places = mappings.length + 1
    this.modules = mappings.map(mapping => moduleOf(mapping.file))
    this.modules.push('')
    this.buildIds = mappings.map(mapping => mapping.buildId)
    this.buildIds.push('')
    const moduleHalves = new Uint32Array(2 * places)
    const buildHalves = new Uint32Array(2 * places)
    for (let place = 0; place < places; place++) {
      hasher.text(this.modules[place]!).store(moduleHalves, place)
      hasher.text(this.buildIds[place]!).store(buildHalves, place)
    }
    const unnamedIds = new Uint32Array(2 * places)
    const isUnnamedKnown = new Uint8Array(places)

    const { functions, functionName, functionSystemName, functionFile, functionStartLine } = scanner
    this.#functionText = roomyUint32(this.#functionText, 6 * functions)
    this.#functionIds = roomyUint32(this.#functionIds, 2 * functions)
    this.#functionMapping = roomyInt32(this.#functionMapping, functions)
    const functionText = this.#functionText
    const functionIds = this.#functionIds
    // The mapping that functionIds holds a function's id for: nearly always its only one.
    const functionMapping = this.#functionMapping
    const NOT_YET = -1
    const NAMELESS = -2
    for (let fn = 0; fn < functions; fn++) {
      const name = functionName[fn]!
      const systemName = functionSystemName[fn]!
      const isNamed = !strings.isEmpty(name)
      functionMapping[fn] = isNamed || !strings.isEmpty(systemName) ? NOT_YET : NAMELESS
      strings.storeHash(isNamed ? name : systemName, functionText, 3 * fn)
      strings.storeHash(systemName, functionText, 3 * fn + 1)
      strings.storeHash(functionFile[fn]!, functionText, 3 * fn + 2)
    }

    let frame = 0
    frameOffset[0] = 0
    for (let location = 0; location < locations; location++) {
      const mapping = scanner.locationMapping[location]!
      const place = mapping < 0 ? places - 1 : mapping
      const first = lineOffset[location]!
      const last = lineOffset[location + 1]!
      for (let line = first; line < last || line === first; line++, frame++) {
        const fn = line < last ? lineFunction[line]! : -1
        frameMapping[frame] = place
        if (fn >= 0 && functionMapping[fn] !== NAMELESS) {
          if (functionMapping[fn] !== place) {
            const entry = 3 * fn
            hasher
              .functionId(
                functionText,
                entry,
                entry,
                functionStartLine[fn]!,
                moduleHalves[2 * place]!,
                moduleHalves[2 * place + 1]!,
              )
              .store(functionIds, fn)
            functionMapping[fn] = place
          }
          const low = functionIds[2 * fn]!
          const high = functionIds[2 * fn + 1]!
          frameFunctionIds[2 * frame] = low
          frameFunctionIds[2 * frame + 1] = high
          frameFunction[frame] = fn
          frameLine[frame] = lineNumber[line]!
          frameAddress[2 * frame] = 0
          frameAddress[2 * frame + 1] = 0
          hasher
            .namedFrameId(low, high, lineNumber[line]!, buildHalves[2 * place]!, buildHalves[2 * place + 1]!)
            .store(frameIds, frame)
          continue
        }
        if (isUnnamedKnown[place] === 0) {
          isUnnamedKnown[place] = 1
          hasher
            .unnamedFunctionId(moduleHalves[2 * place]!, moduleHalves[2 * place + 1]!)
            .store(unnamedIds, place)
        }
        frameFunctionIds[2 * frame] = unnamedIds[2 * place]!
        frameFunctionIds[2 * frame + 1] = unnamedIds[2 * place + 1]!
        frameFunction[frame] = -1
        frameLine[frame] = 0
        let low = addressHalves[2 * location]!
        let high = addressHalves[2 * location + 1]!
        if (mapping >= 0 && this.modules[place] !== '[kernel]') {
          const address = fileAddress((BigInt(high) << 32n) | BigInt(low), mappings[mapping]!)
          low = Number(address & 0xffffffffn)
          high = Number(address >> 32n)
        }
        frameAddress[2 * frame] = low
        frameAddress[2 * frame + 1] = high
        hasher.unnamedFrameId(this.buildIds[place]!, this.modules[place]!, low, high).store(frameIds, frame)
      }
      frameOffset[location + 1] = frame
    }
    this.frames = frame
    this.modules.push(CUT_MARKER.module)
    this.buildIds.push('')
  }

  /** The frame behind all others, made when a stack needs it. */
  #cutMarker(): number {
    const hasher = this.#hasher
    const frame = this.frames
    const texts = new Uint32Array(8)
    for (const [i, text] of [
      CUT_MARKER.name,
      CUT_MARKER.systemName,
      CUT_MARKER.file,
      CUT_MARKER.module,
    ].entries())
      hasher.text(text).store(texts, i)
    hasher
      .functionId(texts, 0, 0, CUT_MARKER.startLine, texts[6]!, texts[7]!)
      .store(this.frameFunctionIds, frame)
    const { low, high } = hasher
    hasher.text('').store(texts, 0)
    hasher.namedFrameId(low, high, 0, texts[0]!, texts[1]!).store(this.frameIds, frame)
    this.frameFunction[frame] = this.#scanner.functions
    this.frameLine[frame] = 0
    this.frameMapping[frame] = this.modules.length - 1
    this.frameAddress[2 * frame] = 0
    this.frameAddress[2 * frame + 1] = 0
    return frame
  }

  #addSamples(): void {
    const scanner = this.#scanner
    const labelsets = this.#labelsets
    const { samples, sampleList, labelOffset, labels } = scanner
    const width = scanner.sampleTypes.length
    const given = scanner.valueHalves
    this.sampleStack = roomyUint32(this.sampleStack, samples)
    this.sampleLabelset = roomyUint32(this.sampleLabelset, samples)
    this.sampleSeries = roomyUint32(this.sampleSeries, samples)
    this.valueHalves = roomyUint32(this.valueHalves, 2 * samples * width)
    const { sampleStack, sampleLabelset, sampleSeries, valueHalves } = this
    this.#stackOfList = roomyInt32(this.#stackOfList, scanner.lists.count)
    this.#stackOfList.fill(-1, 0, scanner.lists.count)
    let size = 64
    while (size < 2 * samples + 2) size *= 2
    this.#sampleSlots = roomyInt32(this.#sampleSlots, size)
    this.#sampleSlots.fill(-1, 0, size)
    const slots = this.#sampleSlots
    const mask = size - 1
    this.#resetStacks(scanner.lists.count)
    labelsets.reset(labels)
    let count = 0
    for (let i = 0; i < samples; i++) {
      const list = sampleList[i]!
      let stack = this.#stackOfList[list]!
      if (stack < 0) {
        stack = this.#addStack(list, i)
        this.#stackOfList[list] = stack
      }
      let labelset = 0
      let series = 0
      if (labelOffset[i] !== labelOffset[i + 1]) {
        labelset = labelsets.add(labelOffset[i]!, labelOffset[i + 1]!)
        series = labelsets.series
      }
      const hash =
        Math.imul(stack, 0x9e3779b1) ^ Math.imul(labelset, 0x85ebca6b) ^ Math.imul(series, 0xc2b2ae35)
      let slot = (hash ^ (hash >>> 15)) & mask
      let at = slots[slot]!
      while (at >= 0) {
        if (
          sampleStack[at] === stack &&
          sampleLabelset[at] === labelset &&
          sampleSeries[at] === series &&
          addValues(valueHalves, 2 * at * width, given, 2 * i * width, width)
        )
          break
        slot = (slot + 1) & mask
        at = slots[slot]!
      }
      if (at >= 0) continue
      at = count++
      slots[slot] = at
      sampleStack[at] = stack
      sampleLabelset[at] = labelset
      sampleSeries[at] = series
      const from = 2 * i * width
      const to = 2 * at * width
      for (let half = 0; half < 2 * width; half++) valueHalves[to + half] = given[from + half]!
    }
    this.samples = count
  }

  #resetStacks(lists: number): void {
    this.stacks = 0
    let size = 256
    while (size < 2 * lists + 2) size *= 2
    this.#slots = roomyInt32(this.#slots, size)
    this.#slots.fill(-1, 0, size)
    this.#mask = size - 1
    this.stackIds = roomyUint32(this.stackIds, 2 * lists)
    this.stackOffset = roomyUint32(this.stackOffset, lists + 1)
    this.stackOffset[0] = 0
    if (this.stackIsCut.length < lists) this.stackIsCut = new Uint8Array(2 * lists)
  }

  /** sample: for the message of a refusal. */
  #addStack(list: number, sample: number): number {
    const hasher = this.#hasher
    const { lists } = this.#scanner
    const frameOffset = this.#frameOffset
    const { stackIds } = this
    const begin = this.stackOffset[this.stacks]!
    let end = begin
    let isCut = false
    for (let at = lists.offset[list]!; at < lists.offset[list + 1]! && !isCut; at++) {
      const location = lists.location[at]!
      let last = frameOffset[location + 1]!
      const left = this.#maxStackDepth - (end - begin)
      if (last - frameOffset[location]! > left) {
        last = frameOffset[location]! + left
        isCut = true
      }
      const longest = end + last - frameOffset[location]!
      if (longest - begin > this.#resolveLimits.maxStackFrames || longest > this.#resolveLimits.maxFrames) {
        throw tooManyFrames(sample, longest - begin, longest, this.#resolveLimits)
      }
      // Room for the marker, too.
      if (longest >= this.stackFrame.length) {
        this.stackFrame = grown(this.stackFrame, new Uint32Array(2 * longest + 2))
      }
      for (let frame = frameOffset[location]!; frame < last; frame++) this.stackFrame[end++] = frame
    }
    if (isCut) this.stackFrame[end++] = this.#cutMarker()
    const { frameIds, stackFrame } = this
    hasher.beginStack(false)
    for (let at = begin; at < end; at++) {
      const frame = stackFrame[at]!
      hasher.addToStack(frameIds[2 * frame]!, frameIds[2 * frame + 1]!)
    }
    hasher.finishStack()
    const { low, high } = hasher
    let slot = (low ^ (low >>> 15)) & this.#mask
    for (let stack = this.#slots[slot]!; stack >= 0; stack = this.#slots[slot]!) {
      if (stackIds[2 * stack] === low && stackIds[2 * stack + 1] === high) return stack
      slot = (slot + 1) & this.#mask
    }
    const stack = this.stacks++
    this.#slots[slot] = stack
    stackIds[2 * stack] = low
    stackIds[2 * stack + 1] = high
    this.stackOffset[stack + 1] = end
    this.stackIsCut[stack] = isCut ? 1 : 0
    return stack
  }
}

/** Adds values of 64 bits, as halves; false, and nothing added, when a sum does not fit them. */
function addValues(sums: Uint32Array, to: number, values: Uint32Array, from: number, width: number): boolean {
  for (let half = 0; half < 2 * width; half += 2) {
    const before = sums[to + half + 1]! | 0
    const more = values[from + half + 1]! | 0
    const carry = sums[to + half]! + values[from + half]! > 0xffffffff ? 1 : 0
    const sum = before + more + carry
    if (sum > 0x7fffffff || sum < -0x80000000) return false
  }
  for (let half = 0; half < 2 * width; half += 2) {
    const low = sums[to + half]! + values[from + half]!
    sums[to + half + 1] = sums[to + half + 1]! + values[from + half + 1]! + (low > 0xffffffff ? 1 : 0)
    sums[to + half] = low
  }
  return true
}
