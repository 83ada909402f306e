import {
  type Label,
  type Profile,
  profileNameOf,
  type ResolvedProfile,
  storedSampleTypes,
} from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import type { IngestProfile } from '../batch.ts'
import { decodeBody } from '../decode-body.ts'
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
  const { profile, resolved } = decodeBody(bytes)
  const columns = storedSampleTypes(profile)
  if (columns.length === 0 || resolved.sampleStack.length === 0) {
    throw new CodedError('PROFILE_EMPTY', 'the profile has no samples')
  }
  const labels = labelsOf(options)
  const name = options.profileName || profileNameOf(profile)
  const time = placeTime(profile.timeNanos, receivedAtMs, settings, options.isTimeKept)
  const unsymbolized = countUnsymbolized(profile, resolved)
  const samples = Uint32Array.from(resolved.sampleStack.keys())
  const durationNs = profile.durationNanos > 0n ? profile.durationNanos : 0n
  return columns.map(column => ({
    ...markType(name, profile.sampleTypes[column]!, profile.periodType, labels, durationNs),
    ...time,
    durationNs,
    period: profile.period,
    expected: 0n,
    lost: 0n,
    truncated: 0n,
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

/** In samples: by the column that counts them, by value over period, else by rows. */
function countUnsymbolized(profile: Profile, resolved: ResolvedProfile): bigint {
  const width = profile.sampleTypes.length
  const counting = profile.sampleTypes.findIndex(
    ({ type, unit }) => /^samples?$/.test(type) && unit === 'count',
  )
  const timed = profile.sampleTypes.findIndex(
    ({ type, unit }) => type === profile.periodType.type && unit === profile.periodType.unit,
  )
  let count = 0n
  for (let sample = 0; sample < resolved.sampleStack.length; sample++) {
    const stack = resolved.sampleStack[sample]!
    const first = resolved.stackOffset[stack]!
    if (first === resolved.stackOffset[stack + 1]!) continue
    if (resolved.frameKind[resolved.stackFrame[first]!] !== 'unsymbolized') continue
    if (counting >= 0) count += resolved.values[sample * width + counting]!
    else if (timed >= 0 && profile.period > 0n)
      count += resolved.values[sample * width + timed]! / profile.period
    else count += 1n
  }
  return count < 0n ? 0n : count
}
