import type { ProfileBody, ProfileSeries } from '@strobe/proto'
import { CodedError } from '../../errors.ts'
import type { IngestProfile } from '../batch.ts'
import { countSamples, decodeBody } from '../decode-body.ts'
import { markType } from '../mark-type.ts'
import { placeTime } from '../profile-time.ts'
import type { IngestSettings } from '../settings.ts'

/**
 * One body of an agent's batch: a profile per series of the list. Pure.
 *
 * pprof: the body's message, unpacked.
 * Throws PROFILE_MALFORMED, BATCH_INVALID, TIME_OUT_OF_WINDOW; `at` names the body in messages.
 */
export function decodeProfileBody(
  pprof: Uint8Array,
  series: readonly ProfileSeries[],
  at: string,
  receivedAtMs: number,
  settings: IngestSettings,
): IngestProfile[] {
  const { profile, resolved, isCut } = decodeBody(pprof, settings.limits.maxStackDepth)
  const samples = samplesBySeries(resolved.sampleSeries, series.length, at)
  return series.map((one, index) => {
    const sampleType = profile.sampleTypes[one.sampleTypeIndex]
    if (!sampleType) {
      throw new CodedError(
        'BATCH_INVALID',
        `${at}.series[${index}].sample_type_index is ${one.sampleTypeIndex}, the body has ${profile.sampleTypes.length} sample types`,
      )
    }
    if (one.profileName === '')
      throw new CodedError('BATCH_INVALID', `${at}.series[${index}].profile_name is empty`)
    if (one.durationNanos < 0n) {
      throw new CodedError('BATCH_INVALID', `${at}.series[${index}].duration_nanos is ${one.durationNanos}`)
    }
    const cutSamples = countSamples(
      profile,
      resolved,
      samples[index]!.filter(sample => isCut[resolved.sampleStack[sample]!] === 1),
    )
    return {
      ...markType(one.profileName, sampleType, profile.periodType, one.labels, one.durationNanos),
      ...placeTime(one.timeUnixNanos, receivedAtMs, settings, true),
      durationNs: one.durationNanos,
      period: one.period,
      expected: one.expected,
      lost: one.lost,
      truncated: one.truncated + cutSamples,
      cutSamples,
      unsymbolized: one.unsymbolized,
      body: resolved,
      samples: samples[index]!,
      column: one.sampleTypeIndex,
    }
  })
}

/** A counting sort: positions of samples, by the series they name. */
function samplesBySeries(sampleSeries: Uint32Array, seriesCount: number, at: string): Uint32Array[] {
  const counts = new Uint32Array(seriesCount)
  for (const index of sampleSeries) {
    if (index >= seriesCount) {
      throw new CodedError(
        'BATCH_INVALID',
        `${at}: a sample names series ${index}, the list has ${seriesCount}`,
      )
    }
    counts[index]! += 1
  }
  const lists = Array.from(counts, count => new Uint32Array(count))
  counts.fill(0)
  for (let sample = 0; sample < sampleSeries.length; sample++) {
    const index = sampleSeries[sample]!
    lists[index]![counts[index]!++] = sample
  }
  return lists
}

/** Throws BATCH_INVALID, PROFILES_TOO_MANY before anything is unpacked. */
export function checkBatch(
  batchId: Uint8Array,
  bodies: readonly ProfileBody[],
  settings: IngestSettings,
): void {
  if (batchId.length !== 16) {
    throw new CodedError('BATCH_INVALID', `batch_id has ${batchId.length} bytes, it must have 16`)
  }
  let profiles = 0
  for (const body of bodies) profiles += body.series.length
  const { maxBatchProfiles } = settings.limits
  if (profiles > maxBatchProfiles) {
    throw new CodedError(
      'PROFILES_TOO_MANY',
      `the batch has ${profiles} profiles, the limit is ${maxBatchProfiles}; send several batches`,
      { limitName: 'batch_profiles', limit: maxBatchProfiles, observed: profiles },
    )
  }
}
