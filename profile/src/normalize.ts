import { IdentityHasher, type SampleLabel } from './identity.ts'
import type { FrameKind, FunctionInfo, Profile } from './model.ts'
import { FrameTable } from './resolve/frame-table.ts'
import { type LabelsetLimits, LabelsetTable, type SampleLabels } from './resolve/labelset-table.ts'
import { SlotTable } from './resolve/slot-table.ts'
import { StackTable } from './resolve/stack-table.ts'

export { moduleOf } from './resolve/frame-kind.ts'
export { FOLDED_LABELSET, SERIES_LABEL } from './resolve/labelset-table.ts'

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
  /** Samples whose label set was past a limit; they have FOLDED_LABELSET instead. */
  labelsFolded: number

  /** One entry per summed sample; several of one stack only where their sum would not fit. */
  sampleStack: Uint32Array
  sampleLabelset: Uint32Array
  /** The value of the series label, 0 without it. It is not checked against a list of series. */
  sampleSeries: Uint32Array
  /** samples x sampleTypes, sample by sample. */
  values: BigInt64Array
}

export interface ResolveLimits extends LabelsetLimits {
  /** Frames of one stack with its inlined calls. */
  maxStackFrames: number
  /** Frames of all distinct stacks of a body. */
  maxFrames: number
}

export const DEFAULT_RESOLVE_LIMITS: ResolveLimits = {
  maxStackFrames: 8192,
  maxFrames: 8_000_000,
  maxLabelsets: 1_000,
  maxSampleLabels: 32,
  maxLabelsetLength: 4_096,
}

/**
 * Resolves locations to frames, inlined callees before their callers, and gives all of it identities.
 *
 * Named frames are (function, line, build id); a location without a name is (build id, address relative
 * to its file). Names stay as they are. Samples whose sum would not fit 64 bits stay apart.
 * Throws PPROF_LIMIT: a location of many inlined lines, named often, would take far more room than it came in.
 */
export function resolveStacks(profile: Profile, given: Partial<ResolveLimits> = {}): ResolvedProfile {
  const limits = { ...DEFAULT_RESOLVE_LIMITS, ...given }
  const hasher = new IdentityHasher()
  const frames = new FrameTable(profile, hasher)
  const stacks = new StackTable(hasher, frames, limits)
  const labelsets = new LabelsetTable(hasher, limits)
  labelsets.reset(labelsOf(profile))
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
    const labelset = labelsets.add(profile.labelOffset[i]!, profile.labelOffset[i + 1]!)
    const series = labelsets.series
    let slot = sums.first(
      Math.imul(stack, 0x9e3779b1) ^ Math.imul(labelset, 0x85ebca6b) ^ Math.imul(series, 0xc2b2ae35),
    )
    let at = sums.slots[slot]!
    while (at >= 0) {
      if (
        sampleStack[at] === stack &&
        sampleLabelset[at] === labelset &&
        sampleSeries[at] === series &&
        canAdd(values, at * width, profile.values, i * width, width)
      )
        break
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
    labelsetId: new BigUint64Array(Uint32Array.from(labelsets.ids).buffer),
    labelsRenamed: labelsets.renamed,
    labelsDuplicate: labelsets.duplicates,
    labelsFolded: labelsets.folded,
    sampleStack: sampleStack.slice(0, count),
    sampleLabelset: sampleLabelset.slice(0, count),
    sampleSeries: sampleSeries.slice(0, count),
    values: values.slice(0, count * width),
  }
}

function canAdd(
  sums: BigInt64Array,
  at: number,
  values: BigInt64Array,
  from: number,
  width: number,
): boolean {
  for (let v = 0; v < width; v++) {
    const sum = sums[at + v]! + values[from + v]!
    if (BigInt.asIntN(64, sum) !== sum) return false
  }
  return true
}

function labelsOf(profile: Profile): SampleLabels {
  const { labelNumber } = profile
  return {
    count: profile.labelKey.length,
    key: profile.labelKey,
    string: profile.labelString,
    number: labelNumber,
    numberHalves: new Uint32Array(labelNumber.buffer, labelNumber.byteOffset, 2 * labelNumber.length),
    unit: profile.labelUnit,
    texts: profile.labelStrings,
  }
}
