import { type Dimension, dimensions, type EncodedBatch } from './batch-encoder.ts'
import { IdSet } from './id-set.ts'
import type { Section } from './journal.ts'
import { RowWriter } from './row-writer.ts'
import { hourOf, type SeenIds } from './seen-ids.ts'

const columns = {
  functions: ['tenant', 'function_id', 'name', 'system_name', 'file', 'start_line', 'module', 'last_seen'],
  frames: ['tenant', 'frame_id', 'function_id', 'line', 'module', 'build_id', 'address', 'kind', 'last_seen'],
  stacks: ['tenant', 'service', 'stack_id', 'fstack_id', 'frames', 'last_seen'],
  labelsets: ['tenant', 'labelset_id', 'labels', 'units', 'last_seen'],
  sample_labels: ['tenant', 'service', 'name', 'value', 'first_seen', 'last_seen'],
  series: ['tenant', 'service', 'type', 'series_id', 'group_id', 'labels', 'first_seen', 'last_seen'],
  ingest: [
    'tenant',
    'service',
    'type',
    'time',
    'series_id',
    'group_id',
    'batch_id',
    'duration_ns',
    'period',
    'expected',
    'lost',
    'truncated',
    'unsymbolized',
    'flags',
    'original_time',
    'received_at',
    'retention',
    'stack_ids',
    'labelset_ids',
    'vals',
  ],
  batches: ['tenant', 'batch_id', 'profiles', 'received_at'],
} satisfies Record<string, string[]>

export interface EncodedGroup {
  /** In insert order: what a sample points at comes before the sample, the ledger last. */
  sections: Section[]
  /** Rows per table, for metrics. */
  rows: Record<string, number>
  /** Remembers the dimension rows as stored, when the group is durable. */
  markSeen(): void
}

/**
 * Joins encoded batches to the sections of one group. A dimension row that several batches bring, or that
 * became durable since it was encoded, is taken once or not at all.
 *
 * token: deduplication token of the group's profiles. Batches must be of the seen ids' present version.
 */
export function encodeGroup(
  batches: readonly EncodedBatch[],
  seen: SeenIds,
  token: string,
  nowMs: number,
): EncodedGroup {
  const hour = hourOf(nowMs)
  const added = new IdSet()
  const marks: number[] = []
  const rows: Record<string, number> = {}
  const sections: Section[] = []
  for (const table of dimensions) {
    const parts: Uint8Array[] = []
    let count = 0
    for (const batch of batches) {
      for (const { keys, ends, bytes } of batch.dimensions.filter(each => each.table === table)) {
        // Rows lie one after another: those to be taken are copied in runs.
        let runStart = 0
        let start = 0
        for (let row = 0; row < ends.length; row++) {
          const low = keys[2 * row]!
          const high = keys[2 * row + 1]!
          const end = ends[row]!
          if (seen.has(low, high, hour) || !added.add(low, high)) {
            if (start > runStart) parts.push(bytes.subarray(runStart, start))
            runStart = end
          } else {
            marks.push(low, high)
            count++
          }
          start = end
        }
        if (start > runStart) parts.push(bytes.subarray(runStart, start))
      }
    }
    if (count > 0) sections.push(section(table, '', parts))
    if (count > 0) rows[table] = count
  }
  const ledger = new RowWriter(64 * batches.length)
  let profiles = 0
  for (const { tenant, batchId, profiles: ofBatch, receivedAtMs } of batches) {
    ledger.string(tenant)
    ledger.fixed(batchId)
    ledger.uint32(ofBatch)
    ledger.int64(BigInt(receivedAtMs))
    profiles += ofBatch
  }
  if (profiles > 0)
    sections.push(
      section(
        'ingest',
        token,
        batches.map(batch => batch.ingest),
      ),
    )
  sections.push(section('batches', '', [ledger.bytes()]))
  return {
    sections,
    rows: { ...rows, ...(profiles > 0 ? { ingest: profiles } : {}), batches: batches.length },
    markSeen() {
      for (let at = 0; at < marks.length; at += 2) seen.mark(marks[at]!, marks[at + 1]!, hour)
    },
  }
}

function section(table: Dimension | 'ingest' | 'batches', token: string, parts: Uint8Array[]): Section {
  return { table, columns: columns[table], token, bytes: Buffer.concat(parts) }
}
