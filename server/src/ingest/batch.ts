import type { Label } from '@strobe/profile'
import type { EncodedBatch } from '../storage/batch-encoder.ts'
import type { IngestSettings } from './settings.ts'

/** Bits of ProfileRow.flags, as stored. */
export const TIME_MISSING = 1
export const TIME_OUTSIDE_WINDOW = 2

/** A request to be decoded, as bytes and plain data: it may go to another thread. */
export type DecodeJob = WriteJob | UploadJob

interface JobContext {
  tenant: string
  receivedAtMs: number
  /** Retention class of the tenant. */
  retention: number
  settings: DecodeSettings
}

/** What of a tenant's settings decoding needs. */
export type DecodeSettings = Pick<
  IngestSettings,
  'limits' | 'groupLabels' | 'windowPastMs' | 'windowFutureMs'
>

export interface WriteJob extends JobContext {
  protocol: 'strobe'
  /** A strobe.v1.WriteRequest. */
  request: Uint8Array
}

export interface UploadJob extends JobContext {
  protocol: 'upload'
  /** 16 bytes. */
  batchId: Uint8Array
  /** As sent: packed or not. */
  body: Uint8Array
  options: UploadOptions
}

export interface UploadOptions {
  /** '' when not given. */
  service: string
  /** First part of the type id; '' to tell it from the profile. */
  profileName: string
  labels: Label[]
  /** File name, '' when not given; names the service when nothing else does. */
  source: string
  isTimeKept: boolean
}

/** What an uploaded profile turned out to hold. */
export interface UploadSummary {
  profiles: { type: string; samples: number; total: string }[]
  /** 0 unless re-timed. */
  originalTimeMs: number
}

/** Things that were changed or left out, by reason. */
export interface DecodeCounts {
  dropped: Record<
    'duplicate_label' | 'end_of_label_name' | 'root_of_deep_stack' | 'sample_labels_folded',
    number
  >
  retimed: Record<'missing' | 'outside_window', number>
}

export interface DecodedRequest {
  batch: EncodedBatch
  counts: DecodeCounts
  /** Of an upload. */
  upload: UploadSummary | null
}

export interface IngestAnswer {
  profiles: number
  isDuplicate: boolean
}
