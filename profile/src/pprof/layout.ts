import { profileError } from '../errors.ts'
import { grown, roomyUint32 } from './grown.ts'
import { checkLimit, type PprofLimits } from './limits.ts'
import { BYTES, VARINT, type WireReader } from './wire-reader.ts'

/** [first byte, byte after the last] of an embedded message. */
export type Span = [number, number]

/** Where the messages of one top-level field lie. */
export class Spans {
  count = 0
  start: Uint32Array<ArrayBuffer>
  end: Uint32Array<ArrayBuffer>

  constructor(capacity: number) {
    this.start = new Uint32Array(capacity)
    this.end = new Uint32Array(capacity)
  }

  /** Empties it and makes room for so many. */
  reset(capacity: number): this {
    this.count = 0
    this.start = roomyUint32(this.start, capacity)
    this.end = roomyUint32(this.end, capacity)
    return this
  }

  push(start: number, end: number): void {
    const i = this.count
    if (i === this.start.length) {
      this.start = grown(this.start, new Uint32Array(2 * i))
      this.end = grown(this.end, new Uint32Array(2 * i))
    }
    this.start[i] = start
    this.end[i] = end
    this.count = i + 1
  }
}

export interface Layout {
  sampleTypes: Span[]
  samples: Spans
  mappings: Spans
  locations: Spans
  functions: Spans
  strings: Spans
  periodType: Span | null
  period: bigint
  timeNanos: bigint
  durationNanos: bigint
  comments: number[]
  defaultSampleType: number
}

const SAMPLE_TYPE = 1
const SAMPLE = 2
const MAPPING = 3
const LOCATION = 4
const FUNCTION = 5
const STRING = 6
const TIME_NANOS = 9
const DURATION_NANOS = 10
const PERIOD_TYPE = 11
const PERIOD = 12
const COMMENT = 13
const DEFAULT_SAMPLE_TYPE = 14

/**
 * Finds the messages of a body and reads its plain fields.
 * spare: a layout of an earlier body, whose room is used again; it holds nothing any more then.
 */
export function readLayout(reader: WireReader, limits: PprofLimits, spare: Layout | null = null): Layout {
  const end = reader.bytes.length
  // Messages of a usual profile take some 30 to 100 bytes each.
  const capacity = 64 + (end >>> 6)
  const room = (spans: Spans | undefined, entries: number) => spans?.reset(entries) ?? new Spans(entries)
  const samples = room(spare?.samples, capacity)
  const mappings = room(spare?.mappings, 64)
  const locations = room(spare?.locations, capacity)
  const functions = room(spare?.functions, capacity)
  const strings = room(spare?.strings, capacity)
  const layout: Layout = {
    sampleTypes: [],
    samples,
    mappings,
    locations,
    functions,
    strings,
    periodType: null,
    period: 0n,
    timeNanos: 0n,
    durationNanos: 0n,
    comments: [],
    defaultSampleType: 0,
  }
  // A second value of a field that a profile has once means that a second profile begins: protobuf
  // merges concatenated messages in silence. Go's writer always sets time or period type.
  const seen = new Uint8Array(16)
  while (reader.position < end) {
    const key = reader.uint()
    const field = Math.floor(key / 8)
    if (field >= SAMPLE_TYPE && field <= STRING) {
      if ((key & 7) !== BYTES) throw wrongWireType(reader, field, key & 7)
      const fieldEnd = reader.fieldEnd()
      const start = reader.position
      reader.position = fieldEnd
      if (field === STRING) {
        if (fieldEnd - start > limits.maxStringBytes) {
          checkLimit('string_table entry', fieldEnd - start, limits.maxStringBytes, 'maxStringBytes')
        }
        strings.push(start, fieldEnd)
      } else if (field === LOCATION) locations.push(start, fieldEnd)
      else if (field === FUNCTION) functions.push(start, fieldEnd)
      else if (field === SAMPLE) samples.push(start, fieldEnd)
      else if (field === MAPPING) mappings.push(start, fieldEnd)
      else {
        layout.sampleTypes.push([start, fieldEnd])
        checkLimit('sample_type', layout.sampleTypes.length, limits.maxSampleTypes, 'maxSampleTypes')
      }
    } else if (field >= TIME_NANOS && field <= DEFAULT_SAMPLE_TYPE) {
      readHeaderField(reader, field, key & 7, layout, seen)
    } else {
      reader.skip(key & 7)
    }
  }
  checkLimit('sample', samples.count, limits.maxSamples, 'maxSamples')
  checkLimit('mapping', mappings.count, limits.maxMappings, 'maxMappings')
  checkLimit('location', locations.count, limits.maxLocations, 'maxLocations')
  checkLimit('function', functions.count, limits.maxFunctions, 'maxFunctions')
  checkLimit('string_table', strings.count, limits.maxStrings, 'maxStrings')
  if (layout.samples.count > 0 && layout.sampleTypes.length === 0) {
    throw profileError('PPROF_NO_SAMPLE_TYPES', `${layout.samples.count} samples and no sample_type`)
  }
  if (layout.sampleTypes.length + samples.count + locations.count + functions.count === 0) {
    throw profileError('PPROF_EMPTY', `the ${end} bytes hold neither sample types nor samples`, {
      bytes: end,
    })
  }
  return layout
}

function readHeaderField(
  reader: WireReader,
  field: number,
  wireType: number,
  layout: Layout,
  seen: Uint8Array,
): void {
  if (field === COMMENT) {
    if (wireType === VARINT) layout.comments.push(reader.uint())
    else {
      if (wireType !== BYTES) throw wrongWireType(reader, field, wireType)
      const fieldEnd = reader.fieldEnd()
      const outer = reader.end
      reader.end = fieldEnd
      while (reader.position < fieldEnd) layout.comments.push(reader.uint())
      reader.end = outer
    }
    return
  }
  if (wireType !== (field === PERIOD_TYPE ? BYTES : VARINT)) throw wrongWireType(reader, field, wireType)
  if (seen[field] === 1 && field !== DEFAULT_SAMPLE_TYPE) {
    throw profileError(
      'PPROF_CONCATENATED',
      `field ${field} appears a second time at byte ${reader.position}`,
      {
        field,
        offset: reader.position,
      },
    )
  }
  seen[field] = 1
  if (field === PERIOD_TYPE) {
    const fieldEnd = reader.fieldEnd()
    layout.periodType = [reader.position, fieldEnd]
    reader.position = fieldEnd
  } else if (field === DEFAULT_SAMPLE_TYPE) {
    layout.defaultSampleType = reader.uint()
  } else {
    reader.long()
    const value = (BigInt(reader.high | 0) << 32n) | BigInt(reader.low)
    if (field === TIME_NANOS) layout.timeNanos = value
    else if (field === DURATION_NANOS) layout.durationNanos = value
    else if (field === PERIOD) layout.period = value
  }
}

function wrongWireType(reader: WireReader, field: number, wireType: number): Error {
  return profileError(
    'PPROF_WIRE_TYPE',
    `field ${field} at byte ${reader.position} has wire type ${wireType}`,
    {
      field,
      offset: reader.position,
      wireType,
    },
  )
}
