import { createHash } from 'node:crypto'
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

/**
 * Profiles as rows of table `ingest`, which is what the server inserts once it has decoded them. Ids are hashes,
 * the same for the same series, group, or stack of a build; the stacks themselves are not stored.
 */
export function createRowEncoder(): (windows: Window[]) => { bytes: Uint8Array; samples: number } {
  const seriesIds = new Map<string, bigint>()
  const stackIds = new Map<string, BigUint64Array>()
  const hash = (text: string) => createHash('sha256').update(text).digest().readBigUInt64LE()
  const known = <T>(map: Map<string, T>, key: string, make: () => T): T => {
    const found = map.get(key) ?? make()
    map.set(key, found)
    return found
  }
  return windows => {
    const rows = new RowWriter(1 << 20)
    let samples = 0
    for (const window of windows) {
      const { service, version, startMs, seconds } = window
      const ids = known(stackIds, `${service.name} ${version}`, () =>
        BigUint64Array.from(service.stacks, (_, stack) => hash(`${service.name} ${version} ${stack}`)),
      )
      const series = `${service.name} ${window.instance} ${version}`
      const drawn = drawStacks(window)
      samples += drawn.size
      rows.string('default')
      rows.string(service.name)
      rows.string(cpuType)
      rows.int64(BigInt(startMs))
      rows.uint64(known(seriesIds, series, () => hash(JSON.stringify(labelsOf(window)))))
      rows.uint64(known(seriesIds, `${service.name} ${version}`, () => hash(`${service.name} ${version}`)))
      rows.fixed(crypto.getRandomValues(new Uint8Array(16)))
      rows.int64(BigInt(seconds) * 1_000_000_000n)
      rows.int64(periodNanos)
      rows.int64(BigInt(startMs + seconds * 1000))
      rows.array64(BigUint64Array.from(drawn.keys(), stack => ids[stack]!))
      rows.array64(new BigUint64Array(drawn.size))
      rows.array64(BigInt64Array.from(drawn.values(), count => BigInt(count) * periodNanos))
    }
    return { bytes: rows.bytes(), samples }
  }
}
