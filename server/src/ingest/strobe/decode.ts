import { fromBinary } from '@bufbuild/protobuf'
import type { PprofBody } from '@strobe/profile'
import { type ProfileSeries, WriteRequestSchema } from '@strobe/proto'
import { CodedError } from '../../errors.ts'
import type { IngestLimits } from '../../limits.ts'
import type { WriteJob } from '../batch.ts'
import { checkSamples, countCut } from '../count-samples.ts'
import { countTime, placeTime } from '../profile-time.ts'
import type { DecodeTools } from '../request-decoder.ts'

/**
 * Encodes an agent's batch: a profile per series of each body.
 * Throws BATCH_INVALID, TIME_OUT_OF_WINDOW, and what DecodeTools do; messages name the body.
 */
export function encodeWrite(job: WriteJob, tools: DecodeTools): void {
  const request = readWrite(() => fromBinary(WriteRequestSchema, job.request))
  tools.encoder.begin(job.tenant, request.batchId, job.receivedAtMs)
  for (const [index, { pprof, series }] of request.bodies.entries())
    encodeBody(tools.readBody(pprof), series, `bodies[${index}]`, job, tools)
}

function encodeBody(
  body: PprofBody,
  series: readonly ProfileSeries[],
  at: string,
  job: WriteJob,
  { encoder, findSeries, counts }: DecodeTools,
): void {
  const samples = samplesBySeries(body.sampleSeries.subarray(0, body.samples), series.length, at)
  for (const [index, one] of series.entries()) {
    const sampleType = body.sampleTypes[one.sampleTypeIndex]
    if (!sampleType) {
      throw new CodedError(
        'BATCH_INVALID',
        `${at}.series[${index}].sample_type_index is ${one.sampleTypeIndex}, the body has ${body.sampleTypes.length} sample types`,
      )
    }
    if (one.profileName === '')
      throw new CodedError('BATCH_INVALID', `${at}.series[${index}].profile_name is empty`)
    if (one.durationNanos < 0n) {
      throw new CodedError('BATCH_INVALID', `${at}.series[${index}].duration_nanos is ${one.durationNanos}`)
    }
    const ofSeries = samples[index]!
    checkSamples(ofSeries.length, job.settings.limits)
    const time = placeTime(one.timeUnixNanos, job.receivedAtMs, job.settings, true)
    countTime(time, counts)
    const cut = countCut(body, ofSeries)
    counts.dropped.root_of_deep_stack += Number(cut)
    encoder.add(
      {
        series: findSeries(one.profileName, sampleType, body.periodType, one.labels, one.durationNanos).row,
        ...time,
        durationNs: one.durationNanos,
        period: one.period,
        expected: one.expected,
        lost: one.lost,
        truncated: one.truncated + cut,
        unsymbolized: one.unsymbolized,
        retention: job.retention,
        samples: ofSeries,
        column: one.sampleTypeIndex,
      },
      body,
    )
  }
}

/** A counting sort: positions of samples, by the series they name. */
function samplesBySeries(sampleSeries: Uint32Array, seriesCount: number, at: string): Uint32Array[] {
  const ends = new Uint32Array(seriesCount)
  for (const index of sampleSeries) {
    if (index >= seriesCount) {
      throw new CodedError(
        'BATCH_INVALID',
        `${at}: a sample names series ${index}, the list has ${seriesCount}`,
      )
    }
    ends[index]! += 1
  }
  let end = 0
  for (let index = 0; index < seriesCount; index++) {
    end += ends[index]!
    ends[index] = end
  }
  const starts = Uint32Array.from(ends)
  const sorted = new Uint32Array(sampleSeries.length)
  for (let sample = sampleSeries.length - 1; sample >= 0; sample--) {
    const index = sampleSeries[sample]!
    starts[index]! -= 1
    sorted[starts[index]!] = sample
  }
  return Array.from(starts, (start, index) => sorted.subarray(start, ends[index]))
}

/** Throws BATCH_INVALID when read throws. */
export function readWrite<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new CodedError(
      'BATCH_INVALID',
      `the request is no strobe.v1.WriteRequest: ${(cause as Error).message}`,
      {},
      { cause },
    )
  }
}

/** Throws BATCH_INVALID, PROFILES_TOO_MANY before anything is unpacked. */
export function checkBatch(batchId: Uint8Array, profiles: number, limits: IngestLimits): void {
  if (batchId.length !== 16) {
    throw new CodedError('BATCH_INVALID', `batch_id has ${batchId.length} bytes, it must have 16`)
  }
  if (profiles > limits.maxBatchProfiles) {
    throw new CodedError(
      'PROFILES_TOO_MANY',
      `the batch has ${profiles} profiles, the limit is ${limits.maxBatchProfiles}; send several batches`,
      { limitName: 'batch_profiles', limit: limits.maxBatchProfiles, observed: profiles },
    )
  }
}
