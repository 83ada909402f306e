import { type Label, profileNameOf, storedSampleTypes } from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import type { IngestProfile } from '../batch.ts'
import { countSamples, decodeBody } from '../decode-body.ts'
import { markType } from '../mark-type.ts'
import { placeTime } from '../profile-time.ts'
import type { IngestSettings } from '../settings.ts'

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

/**
 * One uploaded pprof message: each stored sample type is a profile of its own. Pure.
 *
 * bytes: unpacked.
 * Throws PROFILE_MALFORMED, PROFILE_EMPTY, BAD_REQUEST without a service, TIME_OUT_OF_WINDOW.
 */
export function decodeUpload(
  bytes: Uint8Array,
  options: UploadOptions,
  receivedAtMs: number,
  settings: IngestSettings,
): IngestProfile[] {
  const { profile, resolved, isCut } = decodeBody(bytes, settings.limits.maxStackDepth)
  const columns = storedSampleTypes(profile)
  if (columns.length === 0 || resolved.sampleStack.length === 0) {
    throw new CodedError('PROFILE_EMPTY', 'the profile has no samples')
  }
  const labels = labelsOf(options)
  const name = options.profileName || profileNameOf(profile)
  const time = placeTime(profile.timeNanos, receivedAtMs, settings, options.isTimeKept)
  const samples = Uint32Array.from(resolved.sampleStack.keys())
  const durationNs = profile.durationNanos > 0n ? profile.durationNanos : 0n
  const unsymbolized = countSamples(
    profile,
    resolved,
    samples.filter(sample => {
      const stack = resolved.sampleStack[sample]!
      const first = resolved.stackOffset[stack]!
      return (
        first < resolved.stackOffset[stack + 1]! &&
        resolved.frameKind[resolved.stackFrame[first]!] === 'unsymbolized'
      )
    }),
  )
  const cutSamples = countSamples(
    profile,
    resolved,
    samples.filter(sample => isCut[resolved.sampleStack[sample]!] === 1),
  )
  return columns.map(column => ({
    ...markType(name, profile.sampleTypes[column]!, profile.periodType, labels, durationNs),
    ...time,
    durationNs,
    period: profile.period,
    expected: 0n,
    lost: 0n,
    truncated: cutSamples,
    cutSamples,
    unsymbolized,
    body: resolved,
    samples,
    column,
  }))
}

function labelsOf(options: UploadOptions): Label[] {
  const labels = options.labels.filter(label => label.name !== 'service_name' || options.service === '')
  if (options.service !== '') labels.push({ name: 'service_name', value: options.service })
  if (labels.some(label => label.name === 'service_name' && label.value !== '')) return labels
  const fromSource = options.source
    .replace(/^.*[/\\]/, '')
    .replace(/(\.gz|\.pb|\.pprof|\.prof|\.profile)+$/i, '')
  if (fromSource === '') {
    throw new CodedError('BAD_REQUEST', 'the profile names no service; add ?service=NAME', {
      parameter: 'service',
    })
  }
  labels.push({ name: 'service_name', value: fromSource })
  return labels
}
