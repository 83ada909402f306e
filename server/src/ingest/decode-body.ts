import { decodePprof, type Profile, type ResolvedProfile, resolveStacks, StrobeError } from '@strobe/profile'
import { CodedError } from '../errors.ts'

export interface DecodedBody {
  profile: Profile
  resolved: ResolvedProfile
}

/**
 * One unpacked pprof message with its identities. Pure.
 * Throws PROFILE_MALFORMED or PROFILE_EMPTY, with the codec's own code in details.cause.
 */
export function decodeBody(bytes: Uint8Array): DecodedBody {
  try {
    const profile = decodePprof(bytes)
    return { profile, resolved: resolveStacks(profile) }
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
