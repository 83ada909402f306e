import { createHash } from 'node:crypto'
import type { Label, PprofBody } from '@strobe/profile'
import { IdSet } from './id-set.ts'
import { PlaceList } from './places.ts'
import { RowWriter } from './row-writer.ts'
import { hourOf, type SeenIds } from './seen-ids.ts'

/** What samples point at, in insert order: what is pointed at comes first. */
export const dimensions = ['functions', 'frames', 'stacks', 'labelsets', 'sample_labels', 'series'] as const
export type Dimension = (typeof dimensions)[number]

/** One series, as its rows and its samples' rows hold it. */
export interface SeriesRow {
  service: string
  /** Profile type id. */
  type: string
  seriesId: bigint
  groupId: bigint
  labels: readonly Label[]
}

/** One profile on its way into the store: one series, one type, one window. */
export interface ProfileRow {
  series: SeriesRow
  timeMs: number
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
  /** Positions in the body's samples; empty for an idle series. */
  samples: Uint32Array
  /** Value column of the body. */
  column: number
}

/** Rows of one dimension that the store did not have when they were encoded. */
export interface DimensionRows {
  table: Dimension
  /** RowBinary, row after row. */
  bytes: Uint8Array
  /** Where each row ends. */
  ends: Uint32Array
  /** What SeenIds is to remember of each row, as halves. */
  keys: Uint32Array
}

/** A batch as bytes; everything lies in one ArrayBuffer, so that it goes from thread to thread at no cost. */
export interface EncodedBatch {
  tenant: string
  /** 16 bytes; the same on every retry. */
  batchId: Uint8Array
  receivedAtMs: number
  profiles: number
  /** Sample rows: those without a value are none. */
  samples: number
  /** Where its rows go (places.ts). */
  places: string
  /** Of the SeenIds that told which rows to leave out. */
  seenVersion: number
  /** Of each profile. */
  seriesIds: BigUint64Array
  /** RowBinary of `ingest`, a row per profile. */
  ingest: Uint8Array
  dimensions: DimensionRows[]
}

/** Ids are content hashes, equal in every tenant and service; what is remembered as stored is not. */
export class SeenScopes {
  readonly #secret: Uint8Array
  readonly #scopes = new Map<string, Uint32Array>()

  /** secret: nobody may be able to choose an id that another tenant's row is then taken for. */
  constructor(secret: Uint8Array) {
    this.#secret = secret
  }

  /** Halves to mix into the ids of a tenant's and service's rows; service '' for what all its services share. */
  of(tenant: string, service: string): Uint32Array {
    const scope = `${tenant}\0${service}`
    let halves = this.#scopes.get(scope)
    if (halves === undefined) {
      const digest = createHash('sha256').update(this.#secret).update(scope).digest()
      halves = Uint32Array.of(digest.readUInt32LE(0), digest.readUInt32LE(4))
      if (this.#scopes.size >= 10_000) this.#scopes.clear()
      this.#scopes.set(scope, halves)
    }
    return halves
  }
}

class DimensionWriter {
  readonly row = new RowWriter(1 << 14)
  count = 0
  ends = new Uint32Array(64)
  keys = new Uint32Array(128)

  begin(low: number, high: number): RowWriter {
    // The row before this one ends here.
    if (this.count > 0) this.ends[this.count - 1] = this.row.length
    if (this.count === this.ends.length) {
      const [ends, keys] = [this.ends, this.keys]
      this.ends = new Uint32Array(2 * ends.length)
      this.ends.set(ends)
      this.keys = new Uint32Array(2 * keys.length)
      this.keys.set(keys)
    }
    this.keys[2 * this.count] = low
    this.keys[2 * this.count + 1] = high
    this.count++
    return this.row
  }

  clear(): void {
    this.row.clear()
    this.count = 0
  }
}

/**
 * Encodes one batch after another as rows, leaving out the dimension rows that the store has.
 * Stack 0, the empty one, gets a row like every other.
 */
export class BatchEncoder {
  readonly #seen: SeenIds
  readonly #scopes: SeenScopes
  readonly #added = new IdSet()
  readonly #ingest = new RowWriter(1 << 16)
  readonly #places = new PlaceList()
  readonly #writers: Record<Dimension, DimensionWriter> = {
    functions: new DimensionWriter(),
    frames: new DimensionWriter(),
    stacks: new DimensionWriter(),
    labelsets: new DimensionWriter(),
    sample_labels: new DimensionWriter(),
    series: new DimensionWriter(),
  }
  #tenant = ''
  #batchId: Uint8Array = new Uint8Array(16)
  #receivedAtMs = 0
  #seenVersion = 0
  #hour = 0
  #today = 0
  #seriesIds: bigint[] = []
  #samples = 0
  #ofTenant: Uint32Array = new Uint32Array(2)
  #ofService: Uint32Array = new Uint32Array(2)
  #stackIds = new Uint32Array(1024)
  #labelsetIds = new Uint32Array(1024)
  #values = new Uint32Array(1024)
  readonly #halves = new Uint32Array(2)
  /** Frames of the body that were looked at: its stacks share most of them. */
  #isFrameDone = new Uint8Array(1024)
  /** What #isFrameDone is about: the body, as it was after so many reads. */
  #body: PprofBody | null = null
  #bodyReads = 0

  constructor(seen: SeenIds, scopes: SeenScopes) {
    this.#seen = seen
    this.#scopes = scopes
  }

  /** Forgets a batch that was not finished. */
  begin(tenant: string, batchId: Uint8Array, receivedAtMs: number): void {
    this.#tenant = tenant
    this.#batchId = Uint8Array.from(batchId)
    this.#receivedAtMs = receivedAtMs
    this.#seenVersion = this.#seen.version
    this.#hour = hourOf(receivedAtMs)
    this.#today = Math.floor(receivedAtMs / 86_400_000)
    this.#seriesIds = []
    this.#samples = 0
    this.#ofTenant = this.#scopes.of(tenant, '')
    this.#added.clear()
    this.#body = null
    this.#ingest.clear()
    this.#places.clear()
    for (const table of dimensions) this.#writers[table].clear()
  }

  /** body: nothing of it is kept. */
  add(profile: ProfileRow, body: PprofBody): void {
    const { series, samples, column } = profile
    const width = 2 * body.sampleTypes.length
    if (this.#body !== body || this.#bodyReads !== body.reads) this.#forgetFrames(body)
    this.#ofService = this.#scopes.of(this.#tenant, series.service)
    if (2 * samples.length > this.#stackIds.length) {
      this.#stackIds = new Uint32Array(4 * samples.length)
      this.#labelsetIds = new Uint32Array(4 * samples.length)
      this.#values = new Uint32Array(4 * samples.length)
    }
    const { sampleStack, sampleLabelset, valueHalves, stackIds, labelsetIds } = body
    let count = 0
    for (let i = 0; i < samples.length; i++) {
      const sample = samples[i]!
      const at = sample * width + 2 * column
      const low = valueHalves[at]!
      const high = valueHalves[at + 1]!
      if (low === 0 && high === 0) continue
      const stack = sampleStack[sample]!
      const labelset = sampleLabelset[sample]!
      this.#addStack(series.service, body, stack)
      if (labelset !== 0) {
        this.#addLabelset(body, labelset)
        this.#addSampleLabels(profile, body, labelset)
      }
      this.#stackIds[count] = stackIds[2 * stack]!
      this.#stackIds[count + 1] = stackIds[2 * stack + 1]!
      this.#labelsetIds[count] = labelsetIds[2 * labelset]!
      this.#labelsetIds[count + 1] = labelsetIds[2 * labelset + 1]!
      this.#values[count] = low
      this.#values[count + 1] = high
      count += 2
    }
    this.#addSeries(profile)
    const row = this.#ingest
    row.string(this.#tenant)
    row.string(series.service)
    row.string(series.type)
    row.int64(BigInt(profile.timeMs))
    row.uint64(series.seriesId)
    row.uint64(series.groupId)
    row.fixed(this.#batchId)
    row.int64(profile.durationNs)
    row.int64(profile.period)
    row.uint64(profile.expected)
    row.uint64(profile.lost)
    row.uint64(profile.truncated)
    row.uint64(profile.unsymbolized)
    row.uint8(profile.flags)
    row.int64(BigInt(profile.originalTimeMs))
    row.int64(BigInt(this.#receivedAtMs))
    row.uint8(profile.retention)
    row.arrayOfHalves(this.#stackIds.subarray(0, count))
    row.arrayOfHalves(this.#labelsetIds.subarray(0, count))
    row.arrayOfHalves(this.#values.subarray(0, count))
    this.#seriesIds.push(series.seriesId)
    this.#samples += count / 2
    this.#places.add(profile.retention, profile.timeMs, count > 0)
  }

  finish(): EncodedBatch {
    const tables = dimensions.filter(table => this.#writers[table].count > 0)
    let size = this.#ingest.length + 8 * this.#seriesIds.length
    for (const table of tables) size += 12 * this.#writers[table].count + this.#writers[table].row.length
    const buffer = new ArrayBuffer(size)
    let at = 0
    const place = <T extends Uint8Array | Uint32Array>(to: T, from: T): T => {
      to.set(from)
      at += to.byteLength
      return to
    }
    // Words first: they must lie at multiples of their size.
    const seriesIds = new BigUint64Array(buffer, 0, this.#seriesIds.length)
    seriesIds.set(this.#seriesIds)
    at = seriesIds.byteLength
    const words = tables.map(table => {
      const { count, ends, keys, row } = this.#writers[table]
      ends[count - 1] = row.length
      return {
        ends: place(new Uint32Array(buffer, at, count), ends.subarray(0, count)),
        keys: place(new Uint32Array(buffer, at, 2 * count), keys.subarray(0, 2 * count)),
      }
    })
    const bytesOf = (row: RowWriter) => place(new Uint8Array(buffer, at, row.length), row.bytes())
    return {
      tenant: this.#tenant,
      batchId: this.#batchId,
      receivedAtMs: this.#receivedAtMs,
      profiles: this.#seriesIds.length,
      samples: this.#samples,
      seenVersion: this.#seenVersion,
      places: this.#places.toString(),
      seriesIds,
      dimensions: tables.map((table, index) => ({
        table,
        ...words[index]!,
        bytes: bytesOf(this.#writers[table].row),
      })),
      ingest: bytesOf(this.#ingest),
    }
  }

  #forgetFrames(body: PprofBody): void {
    this.#body = body
    this.#bodyReads = body.reads
    // One more for the marker of stacks that were cut.
    if (this.#isFrameDone.length <= body.frames) this.#isFrameDone = new Uint8Array(2 * body.frames)
    else this.#isFrameDone.fill(0, 0, body.frames + 1)
  }

  /** The row to fill; null when the store or the batch has it. */
  #begin(table: Dimension, low: number, high: number): RowWriter | null {
    if (this.#seen.has(low, high, this.#hour) || !this.#added.add(low, high)) return null
    return this.#writers[table].begin(low, high)
  }

  #addFunction(body: PprofBody, frame: number): void {
    const low = body.frameFunctionIds[2 * frame]!
    const high = body.frameFunctionIds[2 * frame + 1]!
    const row = this.#begin('functions', low ^ this.#ofTenant[0]!, high ^ this.#ofTenant[1]!)
    if (row === null) return
    const fn = body.frameFunction[frame]!
    row.string(this.#tenant)
    row.halves(low, high)
    row.utf8(body.functionName(fn))
    row.utf8(body.functionSystemName(fn))
    row.utf8(body.functionFile(fn))
    row.uint32(body.functionStartLine(fn))
    row.string(body.modules[body.frameMapping[frame]!]!)
    row.uint16(this.#today)
  }

  #addFrame(body: PprofBody, frame: number): void {
    const low = body.frameIds[2 * frame]!
    const high = body.frameIds[2 * frame + 1]!
    const row = this.#begin('frames', low ^ this.#ofTenant[0]!, high ^ this.#ofTenant[1]!)
    if (row === null) return
    const isNamed = body.isNamed(frame)
    if (isNamed) this.#addFunction(body, frame)
    const mapping = body.frameMapping[frame]!
    row.string(this.#tenant)
    row.halves(low, high)
    if (isNamed) row.halves(body.frameFunctionIds[2 * frame]!, body.frameFunctionIds[2 * frame + 1]!)
    else row.halves(0, 0)
    row.uint32(body.frameLine[frame]!)
    row.string(body.modules[mapping]!)
    row.string(body.buildIds[mapping]!)
    row.halves(body.frameAddress[2 * frame]!, body.frameAddress[2 * frame + 1]!)
    row.string(body.frameKind(frame))
    row.uint16(this.#today)
  }

  #addStack(service: string, body: PprofBody, stack: number): void {
    const low = body.stackIds[2 * stack]!
    const high = body.stackIds[2 * stack + 1]!
    const row = this.#begin('stacks', low ^ this.#ofService[0]!, high ^ this.#ofService[1]!)
    if (row === null) return
    const first = body.stackOffset[stack]!
    const last = body.stackOffset[stack + 1]!
    body.storeFunctionStackId(stack, this.#halves, 0)
    row.string(this.#tenant)
    row.string(service)
    row.halves(low, high)
    row.halves(this.#halves[0]!, this.#halves[1]!)
    row.count(last - first)
    for (let at = first; at < last; at++) {
      const frame = body.stackFrame[at]!
      row.halves(body.frameIds[2 * frame]!, body.frameIds[2 * frame + 1]!)
      if (this.#isFrameDone[frame] === 1) continue
      this.#isFrameDone[frame] = 1
      this.#addFrame(body, frame)
    }
    row.uint16(this.#today)
  }

  #addLabelset(body: PprofBody, labelset: number): void {
    const low = body.labelsetIds[2 * labelset]!
    const high = body.labelsetIds[2 * labelset + 1]!
    const row = this.#begin('labelsets', low ^ this.#ofTenant[0]!, high ^ this.#ofTenant[1]!)
    if (row === null) return
    const labels = body.labelsets[labelset]!
    row.string(this.#tenant)
    row.halves(low, high)
    row.map(labels)
    row.map(labels.flatMap(({ name, unit }) => (unit === null ? [] : [{ name, value: unit }])))
    row.uint16(this.#today)
  }

  /** The days on which the service had the labels of a set, by the samples' own time. */
  #addSampleLabels(profile: ProfileRow, body: PprofBody, labelset: number): void {
    const day = Math.floor(profile.timeMs / 86_400_000)
    // A late profile says that a label is older than was known: another day is another row.
    const low = body.labelsetIds[2 * labelset]! ^ this.#ofService[0]!
    const high = body.labelsetIds[2 * labelset + 1]! ^ this.#ofService[1]! ^ (day << 8)
    for (const [index, { name, value }] of body.labelsets[labelset]!.entries()) {
      const row = this.#begin('sample_labels', low, high ^ index)
      if (row === null) continue
      row.string(this.#tenant)
      row.string(profile.series.service)
      row.string(name)
      row.string(value)
      row.uint16(day)
      row.uint16(day)
    }
  }

  #addSeries({ series, timeMs }: ProfileRow): void {
    // A series whose group changes has a row for each.
    const id = series.seriesId ^ series.groupId
    const low = Number(id & 0xffffffffn) ^ this.#ofService[0]!
    const high = Number(id >> 32n) ^ this.#ofService[1]!
    const row = this.#begin('series', low, high)
    if (row === null) return
    const profileSeconds = Math.floor(timeMs / 1000)
    const nowSeconds = Math.floor(this.#receivedAtMs / 1000)
    row.string(this.#tenant)
    row.string(series.service)
    row.string(series.type)
    row.uint64(series.seriesId)
    row.uint64(series.groupId)
    row.map(series.labels)
    row.uint32(Math.min(profileSeconds, nowSeconds))
    row.uint32(Math.max(profileSeconds, nowSeconds))
  }
}
