import { profileError } from '../errors.ts'

/** What one body may hold. A body over a limit is refused whole: PPROF_LIMIT names field, value, limit. */
export interface PprofLimits {
  maxSamples: number
  /** Locations of one sample. */
  maxStackDepth: number
  maxSampleTypes: number
  maxStrings: number
  /** UTF-8 bytes of one string. */
  maxStringBytes: number
  maxLabelsPerSample: number
  /** Of all locations, of all samples: two bytes of a body can name one, which takes up to 44 in memory. */
  maxLines: number
  maxSampleLocations: number
  maxLabels: number
  maxMappings: number
  maxFunctions: number
  maxLocations: number
}

export const DEFAULT_PPROF_LIMITS: PprofLimits = {
  maxSamples: 1_000_000,
  maxStackDepth: 4096,
  maxSampleTypes: 32,
  maxStrings: 1_000_000,
  maxStringBytes: 65_536,
  maxLabelsPerSample: 64,
  maxLines: 4_000_000,
  maxSampleLocations: 32_000_000,
  maxLabels: 4_000_000,
  maxMappings: 65_536,
  maxFunctions: 1_000_000,
  maxLocations: 1_000_000,
}

/** Throws PPROF_LIMIT when value is over limit. */
export function checkLimit(field: string, value: number, limit: number, setting: string): void {
  if (value <= limit) return
  throw profileError('PPROF_LIMIT', `${field}: ${value}, the limit is ${limit} (${setting})`, {
    field,
    value,
    limit,
    setting,
  })
}
