import { createHash } from 'node:crypto'
import type { Label, ResolvedProfile } from '@strobe/profile'
import type { Section } from './journal.ts'
import { RowWriter } from './row-writer.ts'
import { SeenIds } from './seen-ids.ts'

/** One profile on its way into the store: one series, one type, one window. */
export interface ProfileRow {
  service: string
  /** Profile type id. */
  type: string
  timeMs: number
  seriesId: bigint
  groupId: bigint
  labels: readonly Label[]
  durationNs: bigint
  period: bigint
  expected: bigint
  lost: bigint
  truncated: bigint
  unsymbolized: bigint
  /** Bit 0: time missing, receive time used. Bit 1: re-timed into the window. */
  flags: number
  /** 0 unless re-timed. */
  originalTimeMs: number
  retention: number
  body: ResolvedProfile
  /** Positions in the body's samples; empty for an idle series. */
  samples: Uint32Array
  /** Value column of the body. */
  column: number
}

export interface BatchRows {
  tenant: string
  /** 16 bytes. */
  batchId: Uint8Array
  receivedAtMs: number
  profiles: ProfileRow[]
}

const dimensions = ['functions', 'frames', 'stacks', 'labelsets', 'sample_labels', 'series'] as const
type Dimension = (typeof dimensions)[number]

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

/** What the store has of each dimension. One per store; cleared when the store turns out to be another one. */
export class SeenDimensions {
  readonly tables: Record<Dimension, SeenIds>

  constructor(capacity: number) {
    const each = () => new SeenIds(Math.ceil(capacity / dimensions.length))
    this.tables = {
      functions: each(),
      frames: each(),
      stacks: each(),
      labelsets: each(),
      sample_labels: each(),
      series: each(),
    }
  }

  clear(): void {
    for (const table of dimensions) this.tables[table].clear()
  }
}

export interface EncodedGroup {
  /** In insert order: what a sample points at comes before the sample, the ledger last. */
  sections: Section[]
  /** Rows per table, for metrics. */
  rows: Record<string, number>
  /** Tells the dimensions that the group is durable. */
  markSeen(): void
}

/**
 * Encodes batches as the rows of one group, leaving out the dimension rows that the store has.
 *
 * token: deduplication token of the group's profiles. now: decides which dimension rows are due again.
 * Stack 0, the empty one, gets a row like every other.
 */
export function encodeGroup(
  batches: readonly BatchRows[],
  seen: SeenDimensions,
  token: string,
  nowMs: number,
): EncodedGroup {
  const today = Math.floor(nowMs / 86_400_000)
  const nowSeconds = Math.floor(nowMs / 1000)
  const writers = new Map<string, RowWriter>()
  const rows: Record<string, number> = {}
  const marks: Record<Dimension, Set<bigint>> = {
    functions: new Set(),
    frames: new Set(),
    stacks: new Set(),
    labelsets: new Set(),
    sample_labels: new Set(),
    series: new Set(),
  }
  const scopes = new Map<string, bigint>()

  /** Ids are content hashes, equal in every tenant and service; the key is not. */
  const keyOf = (id: bigint, tenant: string, service: string): bigint => {
    const scope = `${tenant}\0${service}`
    let mixed = scopes.get(scope)
    if (mixed === undefined) {
      mixed = createHash('sha256').update(scope).digest().readBigUInt64LE()
      scopes.set(scope, mixed)
    }
    return id ^ mixed
  }
  const isNew = (table: Dimension, key: bigint): boolean => {
    if (marks[table].has(key) || seen.tables[table].has(key, nowMs)) return false
    marks[table].add(key)
    return true
  }
  const begin = (table: string): RowWriter => {
    let writer = writers.get(table)
    if (!writer) {
      writer = new RowWriter(table === 'ingest' ? 1 << 20 : 1 << 14)
      writers.set(table, writer)
    }
    rows[table] = (rows[table] ?? 0) + 1
    return writer
  }

  const addFunction = (tenant: string, body: ResolvedProfile, index: number) => {
    const id = body.functionId[index]!
    if (!isNew('functions', keyOf(id, tenant, ''))) return
    const info = body.functions[index]!
    const row = begin('functions')
    row.string(tenant)
    row.uint64(id)
    row.string(info.name)
    row.string(info.systemName)
    row.string(info.file)
    row.uint32(info.startLine)
    row.string(info.module)
    row.uint16(today)
  }
  const addFrame = (tenant: string, body: ResolvedProfile, index: number) => {
    const id = body.frameId[index]!
    if (!isNew('frames', keyOf(id, tenant, ''))) return
    const functionIndex = body.frameFunction[index]!
    const isNamed = body.frameKind[index] !== 'unsymbolized'
    if (isNamed) addFunction(tenant, body, functionIndex)
    const row = begin('frames')
    row.string(tenant)
    row.uint64(id)
    row.uint64(isNamed ? body.functionId[functionIndex]! : 0n)
    row.uint32(body.frameLine[index]!)
    row.string(body.functions[functionIndex]!.module)
    row.string(body.frameBuildId[index]!)
    row.uint64(body.frameAddress[index]!)
    row.string(body.frameKind[index]!)
    row.uint16(today)
  }
  const addStack = (tenant: string, service: string, body: ResolvedProfile, index: number) => {
    const id = body.stackId[index]!
    if (!isNew('stacks', keyOf(id, tenant, service))) return
    const from = body.stackOffset[index]!
    const to = body.stackOffset[index + 1]!
    const frames = new BigUint64Array(to - from)
    for (let at = from; at < to; at++) {
      const frame = body.stackFrame[at]!
      frames[at - from] = body.frameId[frame]!
      addFrame(tenant, body, frame)
    }
    const row = begin('stacks')
    row.string(tenant)
    row.string(service)
    row.uint64(id)
    row.uint64(body.fstackId[index]!)
    row.array64(frames)
    row.uint16(today)
  }
  const addLabelset = (tenant: string, body: ResolvedProfile, index: number) => {
    const id = body.labelsetId[index]!
    if (!isNew('labelsets', keyOf(id, tenant, ''))) return
    const labels = body.labelsets[index]!
    const row = begin('labelsets')
    row.string(tenant)
    row.uint64(id)
    row.map(labels)
    row.map(labels.flatMap(({ name, unit }) => (unit === null ? [] : [{ name, value: unit }])))
    row.uint16(today)
  }
  /** The days on which the service had the labels of a set, by the samples' own time. */
  const addSampleLabels = (tenant: string, profile: ProfileRow, index: number) => {
    const { body, service } = profile
    const day = Math.floor(profile.timeMs / 86_400_000)
    // A late profile says that a label is older than was known: another day is another row.
    const key = keyOf(body.labelsetId[index]!, tenant, service) ^ (BigInt(day) << 40n)
    if (!isNew('sample_labels', key)) return
    for (const { name, value } of body.labelsets[index]!) {
      const row = begin('sample_labels')
      row.string(tenant)
      row.string(service)
      row.string(name)
      row.string(value)
      row.uint16(day)
      row.uint16(day)
    }
  }
  const addSeries = (tenant: string, profile: ProfileRow) => {
    if (!isNew('series', keyOf(profile.seriesId, tenant, profile.service))) return
    const profileSeconds = Math.floor(profile.timeMs / 1000)
    const row = begin('series')
    row.string(tenant)
    row.string(profile.service)
    row.string(profile.type)
    row.uint64(profile.seriesId)
    row.uint64(profile.groupId)
    row.map(profile.labels)
    row.uint32(Math.min(profileSeconds, nowSeconds))
    row.uint32(Math.max(profileSeconds, nowSeconds))
  }

  for (const batch of batches) {
    const { tenant } = batch
    for (const profile of batch.profiles) {
      const { body, samples, column, service } = profile
      const width = body.sampleStack.length === 0 ? 1 : body.values.length / body.sampleStack.length
      const stackIds = new BigUint64Array(samples.length)
      const labelsetIds = new BigUint64Array(samples.length)
      const values = new BigInt64Array(samples.length)
      let count = 0
      for (const sample of samples) {
        const value = body.values[sample * width + column]!
        if (value === 0n) continue
        const stack = body.sampleStack[sample]!
        const labelset = body.sampleLabelset[sample]!
        addStack(tenant, service, body, stack)
        if (body.labelsetId[labelset] !== 0n) {
          addLabelset(tenant, body, labelset)
          addSampleLabels(tenant, profile, labelset)
        }
        stackIds[count] = body.stackId[stack]!
        labelsetIds[count] = body.labelsetId[labelset]!
        values[count++] = value
      }
      addSeries(tenant, profile)
      const row = begin('ingest')
      row.string(tenant)
      row.string(service)
      row.string(profile.type)
      row.int64(BigInt(profile.timeMs))
      row.uint64(profile.seriesId)
      row.uint64(profile.groupId)
      row.fixed(batch.batchId)
      row.int64(profile.durationNs)
      row.int64(profile.period)
      row.uint64(profile.expected)
      row.uint64(profile.lost)
      row.uint64(profile.truncated)
      row.uint64(profile.unsymbolized)
      row.uint8(profile.flags)
      row.int64(BigInt(profile.originalTimeMs))
      row.int64(BigInt(batch.receivedAtMs))
      row.uint8(profile.retention)
      row.array64(stackIds.subarray(0, count))
      row.array64(labelsetIds.subarray(0, count))
      row.array64(values.subarray(0, count))
    }
    const row = begin('batches')
    row.string(tenant)
    row.fixed(batch.batchId)
    row.uint32(batch.profiles.length)
    row.int64(BigInt(batch.receivedAtMs))
  }

  const sections: Section[] = []
  for (const table of [...dimensions, 'ingest', 'batches'] as const) {
    const writer = writers.get(table)
    if (!writer) continue
    sections.push({
      table,
      columns: columns[table],
      token: table === 'ingest' ? token : '',
      bytes: writer.bytes(),
    })
  }
  return {
    sections,
    rows,
    markSeen() {
      for (const table of dimensions) seen.tables[table].mark(marks[table], nowMs)
    },
  }
}
