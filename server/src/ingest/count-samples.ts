import type { PprofBody } from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { IngestLimits } from '../limits.ts'

/**
 * How many samples those of the body are that stand at the positions: by the column that counts them, by value
 * over period, else by rows.
 */
export function countSamples(body: PprofBody, positions: Iterable<number>): bigint {
  const { values, period, sampleTypes, periodType } = body
  const width = sampleTypes.length
  const counting = sampleTypes.findIndex(({ type, unit }) => /^samples?$/.test(type) && unit === 'count')
  const timed = sampleTypes.findIndex(
    ({ type, unit }) => type === periodType.type && unit === periodType.unit,
  )
  let count = 0n
  for (const sample of positions) {
    if (counting >= 0) count += values[sample * width + counting]!
    else if (timed >= 0 && period > 0n) count += values[sample * width + timed]! / period
    else count += 1n
  }
  return count < 0n ? 0n : count
}

/** Samples at the positions whose stack lost its root side to the limit. */
export function countCut(body: PprofBody, positions: Uint32Array): bigint {
  let isAny = false
  for (let at = 0; at < positions.length && !isAny; at++)
    isAny = body.stackIsCut[body.sampleStack[positions[at]!]!] === 1
  if (!isAny) return 0n
  return countSamples(
    body,
    positions.filter(sample => body.stackIsCut[body.sampleStack[sample]!] === 1),
  )
}

/** Throws SAMPLES_TOO_MANY. */
export function checkSamples(samples: number, { maxProfileSamples: limit }: IngestLimits): void {
  if (samples <= limit) return
  throw new CodedError(
    'SAMPLES_TOO_MANY',
    `a profile has ${samples} samples, the limit is ${limit}; send shorter windows or fewer labels of samples`,
    { limitName: 'profile_samples', limit, observed: samples },
  )
}
