import {
  cutStacks,
  DEFAULT_PPROF_LIMITS,
  DEFAULT_RESOLVE_LIMITS,
  decodePprof,
  type Profile,
  type ResolvedProfile,
  resolveStacks,
  StrobeError,
} from '@strobe/profile'
import { CodedError } from '../errors.ts'

export interface DecodedBody {
  profile: Profile
  resolved: ResolvedProfile
  /** One per stack: 1 when its root side was left out. */
  isCut: Uint8Array
}

// What a body may resolve to bounds memory; the depth of stacks is cut, not refused.
const pprofLimits = { ...DEFAULT_PPROF_LIMITS, maxStackDepth: DEFAULT_PPROF_LIMITS.maxLocations }
const resolveLimits = { ...DEFAULT_RESOLVE_LIMITS, maxStackFrames: DEFAULT_RESOLVE_LIMITS.maxFrames }

/**
 * One unpacked pprof message with its identities. Pure. Stacks over maxStackDepth frames keep their leaf side.
 * Throws PROFILE_MALFORMED or PROFILE_EMPTY, with the codec's own code in details.cause.
 */
export function decodeBody(bytes: Uint8Array, maxStackDepth: number): DecodedBody {
  try {
    const profile = decodePprof(bytes, pprofLimits)
    const { profile: resolved, isCut } = cutStacks(resolveStacks(profile, resolveLimits), maxStackDepth)
    return { profile, resolved, isCut }
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

/**
 * How many samples those of the body are that stand at the positions: by the column that counts them, by value
 * over period, else by rows.
 */
export function countSamples(
  profile: Profile,
  resolved: ResolvedProfile,
  positions: Iterable<number>,
): bigint {
  const width = profile.sampleTypes.length
  const counting = profile.sampleTypes.findIndex(
    ({ type, unit }) => /^samples?$/.test(type) && unit === 'count',
  )
  const timed = profile.sampleTypes.findIndex(
    ({ type, unit }) => type === profile.periodType.type && unit === profile.periodType.unit,
  )
  let count = 0n
  for (const sample of positions) {
    if (counting >= 0) count += resolved.values[sample * width + counting]!
    else if (timed >= 0 && profile.period > 0n)
      count += resolved.values[sample * width + timed]! / profile.period
    else count += 1n
  }
  return count < 0n ? 0n : count
}
