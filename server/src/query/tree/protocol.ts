import type { CallTree, TreeFrame } from '@strobe/profile'
import type { ErrorDetails } from '../../errors.ts'
import type { LoadKind } from './stack-loader.ts'

/** What is summed by: frames by something of theirs, or below the values of a label. */
export type Group = 'frame' | 'function' | 'file' | 'line' | 'module' | 'package' | { label: string }

export interface TreeLimits {
  /** Nodes of the whole tree, before it is pruned. */
  nodes: number
  /** Entries of all stacks. */
  frames: number
  timeoutMs: number
}

export type TreeWork =
  | { kind: 'flamegraph'; nodes: number; depth: number; at: string }
  | {
      kind: 'functions'
      sort: 'self' | 'total'
      limit: number
      search: string
      /** RowBinary of functions that were summed before, beside the stacks; see readFunctionSums. */
      sums?: Uint8Array
    }
  | { kind: 'stacks' }
  | { kind: 'file'; format: ExportFormat; facts: ExportFacts }

export const exportFormats = ['pprof', 'folded', 'speedscope', 'json'] as const
export type ExportFormat = (typeof exportFormats)[number]

/** What a file says beside its stacks. */
export interface ExportFacts {
  name: string
  /** Full profile type id. */
  type: string
  fromMs: number
  toMs: number
  coveredSeconds: number
  /** Sampling period, decimal. */
  period: string
}

/** The stacks themselves: stack i is stackFrame[stackOffset[i] .. stackOffset[i + 1]], leaf first. */
export interface ListedStacks {
  stackOffset: Uint32Array
  /** Indices into frames. */
  stackFrame: Uint32Array
  frames: TreeFrame[]
  /** One per stack. */
  values: Float64Array
  /** Two per stack: halves of its id, low first. */
  ids: Uint32Array
}

export interface TreeRequest {
  tenant: string
  group: Group
  /** RE2 over function names, '' for none. Stacks without a match of focus are left out; frames that hide matches leave their stacks. */
  focus: string
  hide: string
  /** Sums are divided by it. */
  divisor: number
  work: TreeWork
  limits: TreeLimits
}

/** Numbers of JSON are rounded past 2^53; these texts keep every digit, of means three after the point. */
export interface ExactTotals {
  wholeExact: string
  totalExact: string
}

export type TreeAnswer = { whole: number; total: number; wholeExact: string } & (
  | {
      kind: 'flamegraph'
      /** null below a frame that `at` names: weights of nodes are doubles. */
      totalExact: string | null
      tree: CallTree
      omitted: { nodes: number; weight: number }
    }
  | {
      kind: 'functions'
      totalExact: string
      functions: { frame: TreeFrame; self: number; total: number }[]
      omitted: { functions: number; self: number }
    }
  | ({ kind: 'stacks'; totalExact: string } & ListedStacks)
  /** Of format json an object without its closing brace: its meta is not known yet. */
  | { kind: 'file'; totalExact: string; bytes: Uint8Array }
)

export interface JobError {
  code: string
  message: string
  details: ErrorDetails
}

export interface WorkerStats {
  cacheBytes: number
  cacheStacks: number
  hits: number
  misses: number
}

export type ToWorker =
  | { type: 'start'; job: number; request: TreeRequest; sums: Uint8Array }
  | { type: 'loaded'; job: number; bytes: Uint8Array }
  | { type: 'load_failed'; job: number; error: JobError }
  | { type: 'cancel'; job: number }

export type FromWorker =
  | { type: 'load'; job: number; kind: LoadKind; ids: BigUint64Array }
  | { type: 'done'; job: number; answer: TreeAnswer; busyMs: number; stats: WorkerStats }
  | { type: 'failed'; job: number; error: JobError; busyMs: number; stats: WorkerStats }
