import { profileError } from './errors.ts'
import type { Profile, ValueType } from './model.ts'

/**
 * The parts of a profile type id, `process_cpu:cpu:nanoseconds:cpu:nanoseconds`; a sixth, `:delta`, marks a
 * counter that its sender made a delta of.
 */
export interface ProfileType {
  name: string
  sampleType: string
  sampleUnit: string
  periodType: string
  periodUnit: string
  isDelta: boolean
}

export function profileTypeId(
  name: string,
  sampleType: ValueType,
  periodType: ValueType,
  isDelta = false,
): string {
  const parts = [name, sampleType.type, sampleType.unit, periodType.type, periodType.unit].map(part)
  return (isDelta ? [...parts, deltaMark] : parts).join(':')
}

const deltaMark = 'delta'

/** A part keeps no ':' of its own: the separator must stay unambiguous. */
function part(text: string): string {
  return text.replaceAll(':', '_')
}

/** Throws TYPE_INVALID unless the id has five parts, or these and `delta`; period parts may be empty. */
export function parseProfileTypeId(id: string): ProfileType {
  const parts = id.split(':')
  const [name = '', sampleType = '', sampleUnit = '', periodType = '', periodUnit = '', mark] = parts
  const isDelta = mark === deltaMark
  if (parts.length !== (isDelta ? 6 : 5) || name === '' || sampleType === '') {
    throw profileError(
      'TYPE_INVALID',
      `profile type "${id}" is not of the form name:sampleType:sampleUnit:periodType:periodUnit[:delta]`,
      { id },
    )
  }
  return { name, sampleType, sampleUnit, periodType, periodUnit, isDelta }
}

/**
 * The one id of `ids` that `wanted` names: the id itself, its first parts (`process_cpu:cpu`), its name,
 * or its sample type (`cpu`). An exact id wins, then leading parts, then the sample type.
 * Throws TYPE_UNKNOWN and TYPE_AMBIGUOUS, both with the candidates in `details`.
 */
export function matchProfileType(wanted: string, ids: readonly string[]): string {
  if (ids.includes(wanted)) return wanted
  const byPrefix = ids.filter(id => wanted !== '' && id.startsWith(`${wanted}:`))
  const found = byPrefix.length > 0 ? byPrefix : ids.filter(id => id.split(':')[1] === wanted)
  const only = found[0]
  if (found.length === 1 && only !== undefined) return only
  if (found.length === 0) {
    throw profileError('TYPE_UNKNOWN', `no profile type is named "${wanted}"; there are ${listed(ids)}`, {
      type: wanted,
      candidates: [...ids],
    })
  }
  throw profileError('TYPE_AMBIGUOUS', `"${wanted}" may be ${listed(found)}; give more of the name`, {
    type: wanted,
    candidates: found,
  })
}

function listed(ids: readonly string[]): string {
  if (ids.length === 0) return 'none'
  const shown = ids.slice(0, 10).join(', ')
  return ids.length > 10 ? `${shown} and ${ids.length - 10} more` : shown
}

/**
 * The first part of the type id. pprof does not carry it, so it is told from the columns, by the names
 * that Go's runtime, the Datadog and Pyroscope clients and eBPF agents write:
 *   cpu, or samples with a cpu period -> process_cpu      alloc_*, inuse_*  -> memory
 *   contentions, delay: by the period type mutex or block goroutine, threadcreate -> themselves
 *   a wall clock period, wall -> wall                     else the first sample type's own name
 */
export function profileNameOf(profile: Pick<Profile, 'sampleTypes' | 'periodType'>): string {
  const types = profile.sampleTypes.map(type => type.type)
  const period = profile.periodType.type
  const has = (name: string): boolean => types.includes(name)
  if (period === 'wallclock' || has('wall') || has('wall-time')) return 'wall'
  if (has('cpu') || (has('samples') && period === 'cpu')) return 'process_cpu'
  if (types.some(type => type.startsWith('alloc_') || type.startsWith('inuse_')) || period === 'space')
    return 'memory'
  if (has('contentions')) return period === 'mutex' ? 'mutex' : 'block'
  if (has('goroutine') || has('goroutines')) return 'goroutine'
  return types[0] === undefined || types[0] === '' ? 'unknown' : types[0]
}

/**
 * Which value columns are stored. A count of samples beside a measured column says the same again
 * (count = value / period), so it is derived, not stored. Alone, it is stored.
 */
export function storedSampleTypes(profile: Pick<Profile, 'sampleTypes'>): number[] {
  const all = profile.sampleTypes.map((_, index) => index)
  const measured = all.filter(index => !isSampleCount(profile.sampleTypes[index]!))
  return measured.length > 0 ? measured : all.slice(0, 1)
}

function isSampleCount(type: ValueType): boolean {
  return (type.type === 'samples' || type.type === 'sample') && (type.unit === 'count' || type.unit === '')
}
