/** Shapes of the answers of /api/v1. Times are unix ms, weights are in the answer's unit. */

export interface Meta {
  from: number
  to: number
  profiles: number
  coveredSeconds: number
  /** Counts of samples. */
  expected: number
  lost: number
  truncated: number
  unsymbolized: number
  /** Minutes of the range in which no matching series reported, of so many minutes in it. */
  missingMinutes: number
  minutes: number
  rowsRead: number
  bytesRead: number
  elapsedMs: number
}

export interface Service {
  name: string
  types: string[]
  instances: number
  versions: string[]
  lastSeen: number
  /** null when the service reports no cpu profile. */
  cores: number | null
  demo?: boolean
}

export interface ProfileType {
  id: string
  name: string
  sampleType: string
  unit: string
  periodType: string
  periodUnit: string
  title: string
}

export interface Series {
  labels: Record<string, string>
  /** null where nothing reported. */
  points: [ms: number, value: number | null][]
}

export type FrameKind = 'native' | 'kernel' | 'jit' | 'interpreted' | 'unsymbolized' | 'omitted' | 'none'

/** A call tree in columns: node 0 is the root, depth first, siblings by total, largest first. */
export interface FlamegraphAnswer {
  unit: string
  total: number
  /** Frames in four columns; nodes.name points into them. */
  names: string[]
  files: string[]
  modules: string[]
  kinds: FrameKind[]
  nodes: { name: number[]; parent: number[]; self: number[]; total: number[] }
  omitted: { nodes: number; weight: number }
  meta: Meta
}

export interface FunctionRow {
  name: string
  file: string
  module: string
  kind: FrameKind
  self: number
  total: number
}

export interface AgentCheck {
  name: string
  ok: boolean
  detail: string
  fix: string
}

export interface Agent {
  host: string
  version: string
  kernel: string
  state: 'healthy' | 'degraded' | 'cannot_profile' | 'silent'
  reason: string
  lastSeen: number
  checks: AgentCheck[]
  counters: Record<string, number>
}

export interface Status {
  version: string
  demo: boolean
  startedAt: number
  store: { ready: boolean; reason?: string }
  disk: { state: 'ok' | 'freeing' | 'refusing'; reason: string }
  address: string
  dataDir: string
}

export interface ServicesAnswer {
  services: Service[]
  meta: Meta
}

export interface SeriesAnswer {
  unit: string
  stepMs: number
  series: Series[]
  meta: Meta
}

export interface FunctionsAnswer {
  unit: string
  total: number
  functions: FunctionRow[]
  omitted: { functions: number; self: number }
  meta: Meta
}

export type ChangeState = 'slower' | 'faster' | 'small' | 'moved' | 'unclear' | 'rare'

/** Shares are of a side's total, 0 to 1. */
export interface ChangeRow {
  name: string
  file: string
  module: string
  kind: FrameKind
  state: ChangeState
  isNew: boolean
  isGone: boolean
  selfA: number
  selfB: number
  totalA: number
  totalB: number
  shift: number
  low: number
  high: number
  p: number
  q: number
  /** null when too rare to be tested. */
  smallestVisible: number | null
}

export interface DiffSide {
  instances: number
  replicates: number
  samples: number
  total: number
  seconds: number
  meta: Meta
}

export interface DiffAnswer {
  unit: string
  normalize: 'share' | 'rate'
  a: DiffSide
  b: DiffSide
  verdict: {
    state: 'slower' | 'faster' | 'no_evidence' | 'cannot_compare'
    reason: string
    growth: { value: number; low: number; high: number; from: 'totals' | 'implied' } | null
  }
  /** The deepest frame that holds most of the change, from below the root; in the tree's unit. */
  cause: { path: { name: string; module: string }[]; change: number } | null
  method: 'ranks' | 'pooled' | 'mixed'
  tested: number
  /** The least change that would have been found, over sqrt(s (1 - s)) of a share s. */
  noise: number
  /** By size of the change; findings first, rare ones last. */
  functions: ChangeRow[]
  omitted: { functions: number }
  warnings: string[]
  tree: {
    names: string[]
    files: string[]
    modules: string[]
    kinds: FrameKind[]
    /** Depth first, node 0 the root; shares of A's total, or units a second of an instance. */
    nodes: {
      name: number[]
      parent: number[]
      selfA: number[]
      selfB: number[]
      totalA: number[]
      totalB: number[]
    }
  }
  elapsedMs: number
}
