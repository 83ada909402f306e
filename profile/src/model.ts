/**
 * A decoded profile, in columns: no object per sample. Indices are 0-based positions in the arrays of
 * the same profile; -1 means none.
 */

export interface ValueType {
  type: string
  unit: string
}

export interface Mapping {
  start: bigint
  limit: bigint
  offset: bigint
  file: string
  buildId: string
}

export interface FunctionInfo {
  name: string
  systemName: string
  file: string
  startLine: number
}

export interface Profile {
  sampleTypes: ValueType[]
  /** '' when the profile names none. */
  defaultSampleType: string
  periodType: ValueType
  period: bigint
  /** 0n when missing. */
  timeNanos: bigint
  durationNanos: bigint
  comments: string[]

  mappings: Mapping[]
  functions: FunctionInfo[]

  locationAddress: BigUint64Array
  locationMapping: Int32Array
  /** locations + 1 offsets into lineFunction and lineNumber; an inlined callee comes before its caller. */
  lineOffset: Uint32Array
  lineFunction: Int32Array
  lineNumber: Uint32Array

  /** samples + 1 offsets into stackLocation. A sample may have no location. */
  stackOffset: Uint32Array
  /** Leaf first. */
  stackLocation: Uint32Array
  /** samples x sampleTypes, sample by sample. */
  values: BigInt64Array
  /** samples + 1 offsets into the label columns. */
  labelOffset: Uint32Array
  labelKey: Uint32Array
  /** Index into labelStrings, -1 for a numeric label. */
  labelString: Int32Array
  labelNumber: BigInt64Array
  /** Index into labelStrings, -1 without a unit. */
  labelUnit: Int32Array
  labelStrings: string[]
}

/**
 * A call tree in columns, depth first, siblings by total, largest first. Node 0 is the root; its parent
 * is -1. A frame is (function, module): two functions of one name in two modules stay apart.
 */
export interface CallTree {
  frames: TreeFrame[]
  /** Index into frames; -1 for the root. */
  frame: Int32Array
  parent: Int32Array
  self: Float64Array
  total: Float64Array
}

export interface TreeFrame {
  name: string
  /** Source file, '' when unknown. */
  file: string
  /** Base name of the mapping's file; '[kernel]' for the kernel. */
  module: string
  kind: FrameKind
}

/** What the frame is, for colour and words; 'unsymbolized' frames are named module+0xaddress. */
export type FrameKind = 'native' | 'kernel' | 'jit' | 'interpreted' | 'unsymbolized' | 'omitted' | 'none'

export interface FunctionTotal {
  frame: TreeFrame
  self: number
  total: number
}
