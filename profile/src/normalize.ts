import { profileError } from './errors.ts'
import { IdentityHasher, type SampleLabel } from './identity.ts'
import { mapLabelNames } from './labels.ts'
import type { FrameKind, FunctionInfo, Mapping, Profile } from './model.ts'

/** The numeric sample label that names a sample's series in a body shared by several. */
export const SERIES_LABEL = 'strobe_series'

/** A function of one module. */
export interface ModuleFunction extends FunctionInfo {
  /** Base name of the mapping's file, '' without a mapping, '[kernel]' for the kernel. */
  module: string
}

/**
 * A profile as the server keeps it: distinct functions, frames and stacks with their identities, and
 * samples that point at them. Samples equal in series, label set and stack are summed into one.
 */
export interface ResolvedProfile {
  functions: ModuleFunction[]
  functionId: BigUint64Array

  /** One per distinct frame. */
  frameId: BigUint64Array
  /** Index into functions. An unnamed frame has the function of its module that has no name. */
  frameFunction: Int32Array
  frameLine: Uint32Array
  /** Relative to the file; 0n for a named frame, whose identity has no address. */
  frameAddress: BigUint64Array
  frameBuildId: string[]
  frameKind: FrameKind[]

  stackId: BigUint64Array
  fstackId: BigUint64Array
  /** stacks + 1 offsets into stackFrame. */
  stackOffset: Uint32Array
  /** Leaf first. */
  stackFrame: Uint32Array

  /** Distinct sample label sets without the series label; the first is the empty set. */
  labelsets: SampleLabel[][]
  labelsetId: BigUint64Array
  /** Labels of the distinct sets whose name was rewritten or that repeated a name (mapLabelNames). */
  labelsRenamed: number
  labelsDuplicate: number

  /** One entry per summed sample. */
  sampleStack: Uint32Array
  sampleLabelset: Uint32Array
  /** The value of the series label, 0 without it. It is not checked against a list of series. */
  sampleSeries: Uint32Array
  /** samples x sampleTypes, sample by sample. */
  values: BigInt64Array
}

export interface ResolveLimits {
  /** Frames of one stack with its inlined calls. */
  maxStackFrames: number
  /** Frames of all distinct stacks of a body. */
  maxFrames: number
}

export const DEFAULT_RESOLVE_LIMITS: ResolveLimits = { maxStackFrames: 8192, maxFrames: 8_000_000 }

/**
 * Resolves locations to frames, inlined callees before their callers, and gives all of it identities.
 *
 * Named frames are (function, line, build id); a location without a name is (build id, address relative
 * to its file). Names stay as they are. Sums wrap at 64 bits, as the profile's own values do.
 * Throws PPROF_LIMIT: a location of many inlined lines, named often, would take far more room than it came in.
 */
export function resolveStacks(
  profile: Profile,
  limits: ResolveLimits = DEFAULT_RESOLVE_LIMITS,
): ResolvedProfile {
  const hasher = new IdentityHasher()
  const frames = new FrameTable(profile, hasher)
  const stacks = new StackTable(hasher, frames, limits)
  const labelsets = new LabelsetTable(profile, hasher)
  const samples = profile.stackOffset.length - 1
  const width = profile.sampleTypes.length
  const sampleStack = new Uint32Array(samples)
  const sampleLabelset = new Uint32Array(samples)
  const sampleSeries = new Uint32Array(samples)
  const values = new BigInt64Array(profile.values.length)
  const sums = new SlotTable(samples)
  let count = 0
  for (let i = 0; i < samples; i++) {
    const stack = stacks.add(profile, i)
    const labelset = labelsets.add(i)
    const series = labelsets.series
    let slot = sums.first(
      Math.imul(stack, 0x9e3779b1) ^ Math.imul(labelset, 0x85ebca6b) ^ Math.imul(series, 0xc2b2ae35),
    )
    let at = sums.slots[slot]!
    while (at >= 0) {
      if (sampleStack[at] === stack && sampleLabelset[at] === labelset && sampleSeries[at] === series) break
      slot = (slot + 1) & sums.mask
      at = sums.slots[slot]!
    }
    const from = i * width
    if (at < 0) {
      at = count++
      sums.slots[slot] = at
      sampleStack[at] = stack
      sampleLabelset[at] = labelset
      sampleSeries[at] = series
      for (let v = 0; v < width; v++) values[at * width + v] = profile.values[from + v]!
    } else {
      for (let v = 0; v < width; v++)
        values[at * width + v] = values[at * width + v]! + profile.values[from + v]!
    }
  }
  return {
    ...frames.columns(),
    ...stacks.columns(),
    labelsets: labelsets.sets,
    labelsetId: BigUint64Array.from(labelsets.ids),
    labelsRenamed: labelsets.renamed,
    labelsDuplicate: labelsets.duplicates,
    sampleStack: sampleStack.slice(0, count),
    sampleLabelset: sampleLabelset.slice(0, count),
    sampleSeries: sampleSeries.slice(0, count),
    values: values.slice(0, count * width),
  }
}

/** Open addressing over positions: at most half full, so a probe always ends. */
class SlotTable {
  readonly slots: Int32Array
  readonly mask: number

  constructor(entries: number) {
    let size = 64
    while (size < 2 * entries + 2) size *= 2
    this.slots = new Int32Array(size).fill(-1)
    this.mask = size - 1
  }

  first(hash: number): number {
    return (hash ^ (hash >>> 15)) & this.mask
  }
}

/** The frames of each location, distinct by identity. */
class FrameTable {
  readonly functions: ModuleFunction[] = []
  /** Function ids as unsigned halves, low first. */
  readonly #functionIds: Uint32Array
  /** Frame ids as unsigned halves, low first. */
  readonly halves: Uint32Array
  /** Halves of the function id of each frame. */
  readonly functionHalves: Uint32Array
  /** locations + 1 offsets into frameOfLocation. */
  readonly offset: Uint32Array
  readonly frameOfLocation: Uint32Array
  readonly #frameFunction: Int32Array
  readonly #frameLine: Uint32Array
  readonly #frameAddress: BigUint64Array
  readonly #frameBuildId: string[] = []
  readonly #frameKind: FrameKind[] = []
  #count = 0

  constructor(profile: Profile, hasher: IdentityHasher) {
    const locations = profile.locationAddress.length
    let capacity = profile.lineFunction.length
    for (let i = 0; i < locations; i++) if (profile.lineOffset[i] === profile.lineOffset[i + 1]) capacity++
    this.halves = new Uint32Array(2 * capacity)
    this.functionHalves = new Uint32Array(2 * capacity)
    this.offset = new Uint32Array(locations + 1)
    this.frameOfLocation = new Uint32Array(capacity)
    this.#frameFunction = new Int32Array(capacity)
    this.#frameLine = new Uint32Array(capacity)
    this.#frameAddress = new BigUint64Array(capacity)
    const modules = profile.mappings.map(mapping => moduleOf(mapping.file))
    // The last entry is for locations without a mapping.
    const buildHalves = new Uint32Array(2 * modules.length + 2)
    const moduleHalves = new Uint32Array(2 * modules.length + 2)
    for (let i = 0; i <= modules.length; i++) {
      hasher.text(profile.mappings[i]?.buildId ?? '').store(buildHalves, i)
      hasher.text(modules[i] ?? '').store(moduleHalves, i)
    }
    const texts = profile.functionTextHash ?? hashFunctionTexts(profile.functions, hasher)
    const addressHalves = new Uint32Array(
      profile.locationAddress.buffer,
      profile.locationAddress.byteOffset,
      2 * locations,
    )
    const ownAddressHalves = new Uint32Array(this.#frameAddress.buffer)
    const slots = new SlotTable(capacity)
    const functionSlots = new SlotTable(capacity)
    // A function of the profile is nearly always in one module: remember the last answer for each.
    const lastModule: string[] = new Array(profile.functions.length)
    const lastFunction = new Int32Array(profile.functions.length)
    const unnamedOfModule = new Map<string, number>()
    const noText = new Uint32Array(6)
    for (let i = 0; i < 3; i++) hasher.text('').store(noText, i)
    const kinds = new FileKinds()
    const moduleKinds = modules.map(kindOfModule)
    const functionIds = new Uint32Array(2 * capacity)
    this.#functionIds = functionIds

    /** The function whose id stands in the hasher. */
    const addFunction = (name: string, info: FunctionInfo, module: string): number => {
      let slot = functionSlots.first(hasher.low)
      let index = functionSlots.slots[slot]!
      while (index >= 0) {
        if (functionIds[2 * index] === hasher.low && functionIds[2 * index + 1] === hasher.high) return index
        slot = (slot + 1) & functionSlots.mask
        index = functionSlots.slots[slot]!
      }
      index = this.functions.length
      functionSlots.slots[slot] = index
      functionIds[2 * index] = hasher.low
      functionIds[2 * index + 1] = hasher.high
      this.functions.push({
        name,
        systemName: info.systemName,
        file: info.file,
        startLine: info.startLine,
        module,
      })
      return index
    }

    let filled = 0
    for (let location = 0; location < locations; location++) {
      const mappingIndex = profile.locationMapping[location]!
      const place = mappingIndex < 0 ? modules.length : mappingIndex
      const mapping = mappingIndex < 0 ? undefined : profile.mappings[mappingIndex]
      const module = mappingIndex < 0 ? '' : modules[mappingIndex]!
      const moduleKind = mappingIndex < 0 ? null : moduleKinds[mappingIndex]!
      const buildId = mapping?.buildId ?? ''
      const firstLine = profile.lineOffset[location]!
      const lastLine = profile.lineOffset[location + 1]!
      for (let line = firstLine; line < Math.max(lastLine, firstLine + 1); line++) {
        const profileFunction = line < lastLine ? profile.lineFunction[line]! : -1
        const info = profileFunction < 0 ? undefined : profile.functions[profileFunction]!
        let functionIndex: number
        let lineNumber = 0
        let addressLow = 0
        let addressHigh = 0
        let kind: FrameKind
        if (info !== undefined && (info.name !== '' || info.systemName !== '')) {
          if (lastModule[profileFunction] === module) functionIndex = lastFunction[profileFunction]!
          else {
            const entry = 3 * profileFunction
            hasher.functionId(
              texts,
              entry,
              info.name === '' ? entry + 1 : entry,
              info.startLine,
              moduleHalves[2 * place]!,
              moduleHalves[2 * place + 1]!,
            )
            functionIndex = addFunction(info.name === '' ? info.systemName : info.name, info, module)
            lastModule[profileFunction] = module
            lastFunction[profileFunction] = functionIndex
          }
          lineNumber = profile.lineNumber[line]!
          kind = moduleKind ?? kinds.of(info.file)
          hasher.namedFrameId(
            functionIds[2 * functionIndex]!,
            functionIds[2 * functionIndex + 1]!,
            lineNumber,
            buildHalves[2 * place]!,
            buildHalves[2 * place + 1]!,
          )
        } else {
          let unnamed = unnamedOfModule.get(module)
          if (unnamed === undefined) {
            hasher.functionId(noText, 0, 0, 0, moduleHalves[2 * place]!, moduleHalves[2 * place + 1]!)
            unnamed = addFunction('', { name: '', systemName: '', file: '', startLine: 0 }, module)
            unnamedOfModule.set(module, unnamed)
          }
          functionIndex = unnamed
          addressLow = addressHalves[2 * location]!
          addressHigh = addressHalves[2 * location + 1]!
          if (mapping !== undefined && module !== '[kernel]') {
            const address = fileAddress(profile.locationAddress[location]!, mapping)
            addressLow = Number(address & 0xffffffffn)
            addressHigh = Number(address >> 32n)
          }
          kind = 'unsymbolized'
          hasher.unnamedFrameId(buildId, module, addressLow, addressHigh)
        }
        let slot = slots.first(hasher.low)
        let frame = slots.slots[slot]!
        while (frame >= 0) {
          if (this.halves[2 * frame] === hasher.low && this.halves[2 * frame + 1] === hasher.high) break
          slot = (slot + 1) & slots.mask
          frame = slots.slots[slot]!
        }
        if (frame < 0) {
          frame = this.#count++
          slots.slots[slot] = frame
          this.halves[2 * frame] = hasher.low
          this.halves[2 * frame + 1] = hasher.high
          this.functionHalves[2 * frame] = functionIds[2 * functionIndex]!
          this.functionHalves[2 * frame + 1] = functionIds[2 * functionIndex + 1]!
          this.#frameFunction[frame] = functionIndex
          this.#frameLine[frame] = lineNumber
          ownAddressHalves[2 * frame] = addressLow
          ownAddressHalves[2 * frame + 1] = addressHigh
          this.#frameBuildId.push(buildId)
          this.#frameKind.push(kind)
        }
        this.frameOfLocation[filled++] = frame
      }
      this.offset[location + 1] = filled
    }
  }

  columns(): Pick<
    ResolvedProfile,
    | 'functions'
    | 'functionId'
    | 'frameId'
    | 'frameFunction'
    | 'frameLine'
    | 'frameAddress'
    | 'frameBuildId'
    | 'frameKind'
  > {
    const count = this.#count
    return {
      functions: this.functions,
      functionId: new BigUint64Array(this.#functionIds.buffer.slice(0, 8 * this.functions.length)),
      frameId: new BigUint64Array(this.halves.buffer.slice(0, 8 * count)),
      frameFunction: this.#frameFunction.slice(0, count),
      frameLine: this.#frameLine.slice(0, count),
      frameAddress: this.#frameAddress.slice(0, count),
      frameBuildId: this.#frameBuildId,
      frameKind: this.#frameKind,
    }
  }
}

/** Distinct stacks of frames, by identity. */
class StackTable {
  readonly #hasher: IdentityHasher
  readonly #frames: FrameTable
  readonly #limits: ResolveLimits
  #slots = new SlotTable(128)
  #capacity = 128
  #halves = new Uint32Array(256)
  #functionHalves = new Uint32Array(256)
  #offset = new Uint32Array(129)
  #stackFrame = new Uint32Array(1024)
  #count = 0
  #filled = 0

  constructor(hasher: IdentityHasher, frames: FrameTable, limits: ResolveLimits) {
    this.#hasher = hasher
    this.#frames = frames
    this.#limits = limits
  }

  add(profile: Profile, sample: number): number {
    const hasher = this.#hasher
    const frames = this.#frames
    const first = profile.stackOffset[sample]!
    const last = profile.stackOffset[sample + 1]!
    let end = this.#filled
    hasher.beginStack(false)
    for (let at = first; at < last; at++) {
      const location = profile.stackLocation[at]!
      const longest = end + frames.offset[location + 1]! - frames.offset[location]!
      if (longest - this.#filled > this.#limits.maxStackFrames || longest > this.#limits.maxFrames) {
        throw tooManyFrames(sample, longest - this.#filled, longest, this.#limits)
      }
      for (let f = frames.offset[location]!; f < frames.offset[location + 1]!; f++) {
        const frame = frames.frameOfLocation[f]!
        hasher.addToStack(frames.halves[2 * frame]!, frames.halves[2 * frame + 1]!)
        if (end === this.#stackFrame.length) {
          const longer = new Uint32Array(2 * end)
          longer.set(this.#stackFrame)
          this.#stackFrame = longer
        }
        this.#stackFrame[end++] = frame
      }
    }
    hasher.finishStack()
    const { low, high } = hasher
    let slot = this.#slots.first(low)
    let stack = this.#slots.slots[slot]!
    while (stack >= 0) {
      if (this.#halves[2 * stack] === low && this.#halves[2 * stack + 1] === high) return stack
      slot = (slot + 1) & this.#slots.mask
      stack = this.#slots.slots[slot]!
    }
    if (this.#count === this.#capacity) {
      this.#grow()
      slot = this.#slots.first(low)
      while (this.#slots.slots[slot]! >= 0) slot = (slot + 1) & this.#slots.mask
    }
    stack = this.#count++
    this.#slots.slots[slot] = stack
    this.#halves[2 * stack] = low
    this.#halves[2 * stack + 1] = high
    hasher.beginStack(true)
    for (let at = this.#filled; at < end; at++) {
      const frame = this.#stackFrame[at]!
      hasher.addToStack(frames.functionHalves[2 * frame]!, frames.functionHalves[2 * frame + 1]!)
    }
    hasher.finishStack()
    this.#functionHalves[2 * stack] = hasher.low
    this.#functionHalves[2 * stack + 1] = hasher.high
    this.#filled = end
    this.#offset[stack + 1] = end
    return stack
  }

  columns(): Pick<ResolvedProfile, 'stackId' | 'fstackId' | 'stackOffset' | 'stackFrame'> {
    const bytes = 8 * this.#count
    return {
      stackId: new BigUint64Array(this.#halves.buffer.slice(0, bytes)),
      fstackId: new BigUint64Array(this.#functionHalves.buffer.slice(0, bytes)),
      stackOffset: this.#offset.slice(0, this.#count + 1),
      stackFrame: this.#stackFrame.slice(0, this.#filled),
    }
  }

  #grow(): void {
    this.#capacity *= 2
    const halves = new Uint32Array(2 * this.#capacity)
    halves.set(this.#halves)
    this.#halves = halves
    const functionHalves = new Uint32Array(2 * this.#capacity)
    functionHalves.set(this.#functionHalves)
    this.#functionHalves = functionHalves
    const offset = new Uint32Array(this.#capacity + 1)
    offset.set(this.#offset)
    this.#offset = offset
    this.#slots = new SlotTable(this.#capacity)
    for (let stack = 0; stack < this.#count; stack++) {
      let slot = this.#slots.first(halves[2 * stack]!)
      while (this.#slots.slots[slot]! >= 0) slot = (slot + 1) & this.#slots.mask
      this.#slots.slots[slot] = stack
    }
  }
}

/** Distinct sample label sets. `series` holds the series of the sample that was added last. */
class LabelsetTable {
  readonly sets: SampleLabel[][] = [[]]
  readonly ids: bigint[] = [0n]
  series = 0
  renamed = 0
  duplicates = 0
  readonly #profile: Profile
  readonly #hasher: IdentityHasher
  readonly #seriesKey: number
  readonly #indexOfKey = new Map<string, number>()
  readonly #indexOfId = new Map<bigint, number>([[0n, 0]])

  constructor(profile: Profile, hasher: IdentityHasher) {
    this.#profile = profile
    this.#hasher = hasher
    this.#seriesKey = profile.labelStrings.indexOf(SERIES_LABEL)
  }

  add(sample: number): number {
    const profile = this.#profile
    const first = profile.labelOffset[sample]!
    const last = profile.labelOffset[sample + 1]!
    this.series = 0
    let key = ''
    for (let at = first; at < last; at++) {
      const name = profile.labelKey[at]!
      if (name === this.#seriesKey && profile.labelString[at]! < 0) {
        this.series = Number(BigInt.asUintN(32, profile.labelNumber[at]!))
      } else if (profile.labelString[at]! >= 0) key += `${name}=${profile.labelString[at]};`
      else key += `${name}#${profile.labelNumber[at]}:${profile.labelUnit[at]};`
    }
    if (key === '') return 0
    const known = this.#indexOfKey.get(key)
    if (known !== undefined) return known
    const set: SampleLabel[] = []
    for (let at = first; at < last; at++) {
      const name = profile.labelKey[at]!
      const text = profile.labelString[at]!
      if (text < 0 && name === this.#seriesKey) continue
      const unit = profile.labelUnit[at]!
      set.push({
        name: profile.labelStrings[name]!,
        value: text < 0 ? profile.labelNumber[at]!.toString() : profile.labelStrings[text]!,
        unit: text >= 0 ? null : unit < 0 ? '' : profile.labelStrings[unit]!,
      })
    }
    const mapped = mapLabelNames(set)
    this.renamed += mapped.renamed
    this.duplicates += mapped.duplicates
    const id = this.#hasher.labelset(mapped.labels).id()
    let index = this.#indexOfId.get(id)
    if (index === undefined) {
      index = this.sets.length
      this.sets.push(mapped.labels)
      this.ids.push(id)
      this.#indexOfId.set(id, index)
    }
    this.#indexOfKey.set(key, index)
    return index
  }
}

function tooManyFrames(sample: number, inStack: number, inAll: number, limits: ResolveLimits): Error {
  const isStack = inStack > limits.maxStackFrames
  const field = isStack ? `frames of sample ${sample}` : 'frames of all stacks'
  const [value, limit] = isStack ? [inStack, limits.maxStackFrames] : [inAll, limits.maxFrames]
  const setting = isStack ? 'maxStackFrames' : 'maxFrames'
  return profileError('PPROF_LIMIT', `${field}: ${value} or more, the limit is ${limit} (${setting})`, {
    field,
    value,
    limit,
    setting,
  })
}

/** The base name of a mapping's file; every name that writers give to the kernel becomes '[kernel]'. */
export function moduleOf(file: string): string {
  if (
    file.startsWith('[kernel') ||
    file.startsWith('[guest.kernel') ||
    file === '[vmlinux]' ||
    file === '/proc/kcore'
  ) {
    return '[kernel]'
  }
  const path = file.endsWith(' (deleted)') ? file.slice(0, -' (deleted)'.length) : file
  const name = path.slice(path.lastIndexOf('/') + 1)
  return name === 'vmlinux' || name.startsWith('vmlinux-') ? '[kernel]' : name
}

const INTERPRETED_FILE = /\.(py|rb|php|pl|lua|js|mjs|cjs|ts|mts|ex|erl)$|^node:|^<frozen /
const JIT_MODULE = /^(\[jit\]|\[anon.*|anon|perf-\d+\.map|jitted-.*|.*\.jitdump)$/
const JIT_FILE = /\.(java|kt|scala|groovy|clj|cs)$/

function hashFunctionTexts(functions: readonly FunctionInfo[], hasher: IdentityHasher): Uint32Array {
  const halves = new Uint32Array(6 * functions.length)
  for (const [i, { name, systemName, file }] of functions.entries()) {
    hasher.text(name).store(halves, 3 * i)
    hasher.text(systemName).store(halves, 3 * i + 1)
    hasher.text(file).store(halves, 3 * i + 2)
  }
  return halves
}

/** null when the module does not tell and the source file must. */
function kindOfModule(module: string): FrameKind | null {
  if (module === '[kernel]') return 'kernel'
  return JIT_MODULE.test(module) ? 'jit' : null
}

/** Kinds by source file, kept: files are few, frames are many. */
class FileKinds {
  readonly #kinds = new Map<string, FrameKind>()

  of(file: string): FrameKind {
    let kind = this.#kinds.get(file)
    if (kind === undefined) {
      kind = JIT_FILE.test(file) ? 'jit' : INTERPRETED_FILE.test(file) ? 'interpreted' : 'native'
      this.#kinds.set(file, kind)
    }
    return kind
  }
}

/**
 * Where in its file an address lies, so that address space randomisation does not make every process
 * its own. The kernel's addresses stay: its mapping has no useful offset.
 */
function fileAddress(address: bigint, mapping: Mapping): bigint {
  if (address < mapping.start || (mapping.limit !== 0n && address >= mapping.limit)) return address
  return BigInt.asUintN(64, address - mapping.start + mapping.offset)
}
