import { type Label, type PprofBody, profileNameOf, storedSampleTypes } from '@strobe/profile'
import { CodedError } from '../../errors.ts'
import type { UploadJob, UploadOptions, UploadSummary } from '../batch.ts'
import { checkSamples, countCut, countSamples } from '../count-samples.ts'
import { countTime, placeTime } from '../profile-time.ts'
import type { DecodeTools } from '../request-decoder.ts'

/**
 * Encodes one uploaded pprof message: each stored sample type is a profile of its own.
 * Throws PROFILE_EMPTY, BAD_REQUEST without a service, TIME_OUT_OF_WINDOW, and what DecodeTools do.
 */
export function encodeUpload(job: UploadJob, tools: DecodeTools): UploadSummary {
  const { options, receivedAtMs } = job
  const { encoder, counts } = tools
  encoder.begin(job.tenant, job.batchId, receivedAtMs)
  const body = tools.readBody(job.body)
  const columns = storedSampleTypes(body)
  if (columns.length === 0 || body.samples === 0) {
    throw new CodedError('PROFILE_EMPTY', 'the profile has no samples')
  }
  const labels = labelsOf(options)
  const name = options.profileName || profileNameOf(body)
  const time = placeTime(body.timeNanos, receivedAtMs, job.settings, options.isTimeKept)
  const samples = Uint32Array.from({ length: body.samples }, (_, sample) => sample)
  checkSamples(samples.length, job.settings.limits)
  const unsymbolized = countSamples(
    body,
    samples.filter(sample => {
      const stack = body.sampleStack[sample]!
      const first = body.stackOffset[stack]!
      return first < body.stackOffset[stack + 1]! && !body.isNamed(body.stackFrame[first]!)
    }),
  )
  const cut = countCut(body, samples)
  const durationNs = body.durationNanos > 0n ? body.durationNanos : 0n
  const profiles = columns.map(column => {
    const known = tools.findSeries(name, body.sampleTypes[column]!, body.periodType, labels, durationNs)
    counts.dropped.root_of_deep_stack += Number(cut)
    countTime(time, counts)
    encoder.add(
      {
        series: known.row,
        ...time,
        durationNs,
        period: body.period,
        expected: 0n,
        lost: 0n,
        truncated: cut,
        unsymbolized,
        retention: job.retention,
        samples,
        column,
      },
      body,
    )
    return { type: known.row.type, samples: body.samples, total: totalOf(body, column).toString() }
  })
  return { profiles, originalTimeMs: time.originalTimeMs }
}

function totalOf(body: PprofBody, column: number): bigint {
  const { values, samples, sampleTypes } = body
  let total = 0n
  for (let sample = 0; sample < samples; sample++) total += values[sample * sampleTypes.length + column]!
  return total
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
