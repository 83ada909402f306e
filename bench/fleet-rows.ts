import { groupId, seriesId } from '@strobe/profile'
import { RowWriter } from '../server/src/storage/row-writer.ts'
import { drawStacks, labelsOf, periodNanos, type Window } from './fleet.ts'

export const cpuType = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'

/** Of table `ingest`, in the order that encodeRows writes. */
export const rowColumns = [
  'tenant',
  'service',
  'type',
  'time',
  'series_id',
  'group_id',
  'batch_id',
  'duration_ns',
  'period',
  'received_at',
  'stack_ids',
  'labelset_ids',
  'vals',
]

/** What stands in a row of a profile: ids of its stacks, and their values. */
export interface DrawnProfile {
  stackIds: BigUint64Array
  values: BigInt64Array
}

/** Draws a window's stacks. ids: of the service's stacks in that version. */
export function drawProfile(window: Window, ids: BigUint64Array): DrawnProfile {
  const drawn = drawStacks(window)
  return {
    stackIds: BigUint64Array.from(drawn.keys(), stack => ids[stack]!),
    values: BigInt64Array.from(drawn.values(), count => BigInt(count) * periodNanos),
  }
}

/**
 * Profiles as rows of table `ingest`, which is what the server inserts once it has decoded them. Series and groups
 * have the ids that the server gives them; neither they nor stacks are stored with it.
 */
export function createRowWriter(): {
  write(window: Window, profile: DrawnProfile): void
  /** What was written since the last time. */
  take(): Uint8Array
} {
  const idsOfSeries = new Map<string, [series: bigint, group: bigint]>()
  let rows = new RowWriter(1 << 20)
  const idsOf = (window: Window): [bigint, bigint] => {
    const key = `${window.service.name} ${window.instance} ${window.version}`
    let ids = idsOfSeries.get(key)
    if (!ids) {
      const labels = labelsOf(window)
      ids = [seriesId(labels, cpuType), groupId(labels)]
      idsOfSeries.set(key, ids)
    }
    return ids
  }
  return {
    write(window, { stackIds, values }) {
      const [series, group] = idsOf(window)
      rows.string('default')
      rows.string(window.service.name)
      rows.string(cpuType)
      rows.int64(BigInt(window.startMs))
      rows.uint64(series)
      rows.uint64(group)
      rows.fixed(crypto.getRandomValues(new Uint8Array(16)))
      rows.int64(BigInt(window.seconds) * 1_000_000_000n)
      rows.int64(periodNanos)
      rows.int64(BigInt(window.startMs + window.seconds * 1000))
      rows.array64(stackIds)
      rows.array64(new BigUint64Array(stackIds.length))
      rows.array64(values)
    },
    take() {
      const bytes = rows.bytes()
      rows = new RowWriter(1 << 20)
      return bytes
    },
  }
}

/** The same, with stacks that stand nowhere else: ids are drawn for each service and version. */
export function createRowEncoder(): (windows: Window[]) => { bytes: Uint8Array; samples: number } {
  const writer = createRowWriter()
  const known = new Map<string, BigUint64Array>()
  return windows => {
    let samples = 0
    for (const window of windows) {
      const { service, version } = window
      const key = `${service.name} ${version}`
      const ids = known.get(key) ?? randomIds(service.stacks.length)
      known.set(key, ids)
      const profile = drawProfile(window, ids)
      samples += profile.values.length
      writer.write(window, profile)
    }
    return { bytes: writer.take(), samples }
  }
}

function randomIds(count: number): BigUint64Array {
  const ids = new BigUint64Array(count)
  // The most that one call gives is 64 KiB.
  for (let at = 0; at < count; at += 8192) crypto.getRandomValues(ids.subarray(at, at + 8192))
  return ids
}
