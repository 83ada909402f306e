import {
  DEFAULT_PPROF_LIMITS,
  DEFAULT_RESOLVE_LIMITS,
  type Label,
  PprofBody,
  StrobeError,
  type ValueType,
} from '@strobe/profile'
import { CodedError } from '../errors.ts'
import { BatchEncoder, type SeenScopes } from '../storage/batch-encoder.ts'
import type { SeenIds } from '../storage/seen-ids.ts'
import type { DecodeCounts, DecodedRequest, DecodeJob, UploadSummary } from './batch.ts'
import { type KnownSeries, SeriesCache } from './series-cache.ts'
import { encodeWrite } from './strobe/decode.ts'
import { unpackBody } from './unpack.ts'
import { encodeUpload } from './upload/decode.ts'

// Columns stay as large as the largest body made them; after one of this size they are made anew.
const largeBodyBytes = 4 * 2 ** 20

// What a body may resolve to bounds memory; the depth of stacks is cut, not refused.
const pprofLimits = { ...DEFAULT_PPROF_LIMITS, maxStackDepth: DEFAULT_PPROF_LIMITS.maxLocations }
const resolveLimits = { maxStackFrames: DEFAULT_RESOLVE_LIMITS.maxFrames }

/** What protocols share while they decode one request. */
export interface DecodeTools {
  readonly encoder: BatchEncoder
  readonly counts: DecodeCounts
  /** Throws LABEL_INVALID, LABELS_TOO_MANY, LABEL_TOO_LONG. */
  findSeries(
    profileName: string,
    sampleType: ValueType,
    periodType: ValueType,
    sent: readonly Label[],
    durationNs: bigint,
  ): KnownSeries
  /**
   * Unpacks and reads one pprof message; the one before it is gone then.
   * Throws PROFILE_MALFORMED, with the codec's own code in details.cause, PROFILE_EMPTY, UNPACKED_TOO_LARGE.
   */
  readBody(packed: Uint8Array): PprofBody
}

/** Decodes one request after another to bytes for the store. One for each thread: it keeps its buffers. */
export class RequestDecoder {
  readonly #encoder: BatchEncoder
  readonly #series = new SeriesCache()
  #body = new PprofBody(pprofLimits, resolveLimits)

  constructor(seen: SeenIds, scopes: SeenScopes) {
    this.#encoder = new BatchEncoder(seen, scopes)
  }

  /** Throws what the request has wrong, whole: nothing of it is left. */
  decode(job: DecodeJob): DecodedRequest {
    const counts: DecodeCounts = {
      dropped: { duplicate_label: 0, end_of_label_name: 0, root_of_deep_stack: 0, sample_labels_folded: 0 },
      retimed: { missing: 0, outside_window: 0 },
    }
    const { limits } = job.settings
    const unpacked: Uint8Array[] = []
    let unpackedBytes = 0
    let isLarge = false
    const tools: DecodeTools = {
      encoder: this.#encoder,
      counts,
      findSeries: (...sent) => {
        const known = this.#series.of(...sent, job.settings)
        counts.dropped.duplicate_label += known.duplicates
        counts.dropped.end_of_label_name += known.shortened
        return known
      },
      readBody: packed => {
        const bytes = unpackBody(packed, limits.maxUnpackedBytes, unpackedBytes)
        if (bytes !== packed) unpacked.push(bytes)
        unpackedBytes += bytes.length
        isLarge ||= bytes.length > largeBodyBytes
        const body = readPprof(this.#body, bytes, limits.maxStackDepth)
        counts.dropped.sample_labels_folded += body.labelsFolded
        return body
      },
    }
    try {
      let upload: UploadSummary | null = null
      if (job.protocol === 'strobe') encodeWrite(job, tools)
      else upload = encodeUpload(job, tools)
      return { batch: this.#encoder.finish(), counts, upload }
    } finally {
      for (const bytes of unpacked) freeBytes(bytes)
      if (isLarge) this.#body = new PprofBody(pprofLimits, resolveLimits)
    }
  }
}

/**
 * Gives memory back at once. Left to the collector, the buffers of a hundred bodies make it run, which costs
 * more than decoding them. bytes: the only view of its buffer that is used any more.
 */
export function freeBytes({ buffer, byteLength }: Uint8Array): void {
  // Smaller ones may lie in the pool that all small buffers share.
  if (byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function readPprof(body: PprofBody, bytes: Uint8Array, maxStackDepth: number): PprofBody {
  try {
    return body.read(bytes, maxStackDepth)
  } catch (error) {
    if (!(error instanceof StrobeError)) throw error
    const code = error.code === 'PPROF_EMPTY' ? 'PROFILE_EMPTY' : 'PROFILE_MALFORMED'
    throw new CodedError(
      code,
      `${error.code}: ${error.message}`,
      { ...error.details, cause: error.code },
      { cause: error },
    )
  }
}
