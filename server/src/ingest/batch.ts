import type { Label, ResolvedProfile } from '@strobe/profile'

/** Bits of IngestProfile.flags, as stored. */
export const TIME_MISSING = 1
export const TIME_OUTSIDE_WINDOW = 2

/** What every protocol decodes to: one series, one type, one window. */
export interface IngestProfile {
  /** As sent: names not yet mapped, in any order; must contain service_name. */
  labels: Label[]
  /** Profile type id. */
  type: string
  timeMs: number
  durationNs: bigint
  /** In the period type's unit. */
  period: bigint
  /** Counts of samples; expected 0 when unknown. */
  expected: bigint
  lost: bigint
  truncated: bigint
  unsymbolized: bigint
  flags: number
  /** 0 unless re-timed. */
  originalTimeMs: number
  body: ResolvedProfile
  /** Positions in the body's samples; empty for an idle series. */
  samples: Uint32Array
  /** Value column of the body. */
  column: number
  /** Samples whose stack lost its root side to the limit; they count as truncated. */
  cutSamples: bigint
}

export interface IngestBatch {
  tenant: string
  /** 16 bytes; the same on every retry. */
  batchId: Uint8Array
  profiles: IngestProfile[]
}

export interface IngestAnswer {
  profiles: number
  isDuplicate: boolean
}
