import type { Label } from './identity.ts'
import type { ProfileType } from './type-id.ts'

/**
 * What the values of a profile type are, and so how profiles of one series are put together:
 *
 *   sum         an amount of the profile's own time: CPU, samples, a delta        profiles are added up
 *   gauge       a level, true at one moment: bytes in use, goroutines             levels are averaged over time
 *   cumulative  a counter since the process began: Go's alloc_*, lock waits       differences of profiles are added up
 */
export type ValueKind = 'sum' | 'gauge' | 'cumulative'

const gauges = new Set([
  // Go, and all that write what Go writes.
  'inuse_space',
  'inuse_objects',
  'goroutine',
  'goroutines',
  // All threads that there are, not all that were ever made: the runtime lists its Ms.
  'threadcreate',
  'threads',
  'thread',
  // Live heaps of Java, .NET, Python, Ruby: async-profiler, Datadog's and Pyroscope's clients.
  'live',
  'heap_live',
  'heap_live_size',
  'heap_live_samples',
  'heap_space',
  'heap_objects',
  'heap_size',
  'rss',
])
const counters = new Set(['alloc_space', 'alloc_objects', 'contentions', 'delay'])
const lockProfiles = new Set(['mutex', 'block', 'contentions'])

/** The one place that tells the kind. A type marked as a delta is a sum, whatever it counts. */
export function valueKindOf(type: ProfileType): ValueKind {
  if (type.isDelta) return 'sum'
  const sampleType = type.sampleType.replaceAll('-', '_')
  if (gauges.has(sampleType)) return 'gauge'
  // V8's heap profile calls what is alive objects and space.
  if (type.name === 'memory' && (sampleType === 'objects' || sampleType === 'space')) return 'gauge'
  // Names with a dash are Datadog's, whose alloc-space is what one profile's time allocated.
  if (!counters.has(type.sampleType)) return 'sum'
  if (type.sampleType.startsWith('alloc_')) return 'cumulative'
  return lockProfiles.has(type.name) ? 'cumulative' : 'sum'
}

/** The label by which Pyroscope's clients say whether the server has to make the delta. */
export const DELTA_LABEL = '__delta__'

/**
 * Tells a counter that its sender has already turned into a delta, and takes the mark from the labels, so
 * that it does not part series.
 *
 * The marks: `__delta__="false"` (nothing is left to subtract: godeltaprof, Alloy), or a duration, which
 * Go's profiles of counters have only when they were asked for as /debug/pprof/heap?seconds=N. Levels in
 * the same profile stay levels.
 */
export function readDeltaMark<L extends Label>(
  type: Omit<ProfileType, 'isDelta'>,
  labels: readonly L[],
  durationNs: bigint,
): { isDelta: boolean; labels: L[] } {
  const mark = labels.find(label => label.name === DELTA_LABEL)
  return {
    isDelta:
      valueKindOf({ ...type, isDelta: false }) === 'cumulative' &&
      (mark?.value === 'false' || durationNs > 0n),
    labels: labels.filter(label => label.name !== DELTA_LABEL),
  }
}
