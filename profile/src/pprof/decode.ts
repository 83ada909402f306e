import { profileError } from '../errors.ts'
import { IdentityHasher } from '../identity.ts'
import type { FunctionInfo, Mapping, Profile, ValueType } from '../model.ts'
import { BYTES, VARINT, WireReader } from './wire-reader.ts'

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
  maxMappings: 65_536,
  maxFunctions: 1_000_000,
  maxLocations: 1_000_000,
}

/**
 * Decodes one pprof message (github.com/google/pprof proto/profile.proto), already decompressed.
 *
 * Ids become positions: an unknown mapping or function id becomes -1 as in google/pprof, an unknown
 * location id is refused. Samples stay in file order and are not merged; a sample may have no location.
 * Line numbers below 0 or over 2^32 - 1 become 0. The result does not refer to `bytes`.
 * Memory: a first pass finds where messages lie, so columns are sized by what is really there; a hostile
 * body costs a bounded multiple of its own size. Strings may be slices of one text: whoever keeps one for
 * long keeps the whole table.
 * Throws PPROF_* of errors.ts.
 */
export function decodePprof(bytes: Uint8Array, limits: PprofLimits = DEFAULT_PPROF_LIMITS): Profile {
  if (bytes.length === 0) throw profileError('PPROF_EMPTY', 'the body is empty')
  const reader = new WireReader(bytes)
  const layout = readLayout(reader, limits)
  const strings = new StringTable(bytes, layout.strings)

  const sampleTypes = layout.sampleTypes.map(span => readValueType(reader, span, strings))
  const mappingIndex = new IdIndex('mapping', layout.mappings.count)
  const mappings = readMappings(reader, layout.mappings, strings, mappingIndex)
  const functionIndex = new IdIndex('function', layout.functions.count)
  const functions = readFunctions(reader, layout.functions, strings, functionIndex)
  const locationIndex = new IdIndex('location', layout.locations.count)
  const locations = readLocations(reader, layout.locations, mappingIndex, functionIndex, locationIndex)
  const samples = readSamples(reader, layout.samples, sampleTypes.length, strings, locationIndex, limits)

  return {
    sampleTypes,
    defaultSampleType: strings.get(layout.defaultSampleType),
    periodType: layout.periodType
      ? readValueType(reader, layout.periodType, strings)
      : { type: '', unit: '' },
    period: layout.period,
    timeNanos: layout.timeNanos,
    durationNanos: layout.durationNanos,
    comments: layout.comments.map(index => strings.get(index)),
    mappings,
    ...functions,
    ...locations,
    ...samples,
  }
}

/** [first byte, byte after the last] of an embedded message. */
type Span = [number, number]

/** Where the messages of one top-level field lie. */
class Spans {
  count = 0
  start: Uint32Array
  end: Uint32Array

  constructor(capacity: number) {
    this.start = new Uint32Array(capacity)
    this.end = new Uint32Array(capacity)
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

interface Layout {
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

function readLayout(reader: WireReader, limits: PprofLimits): Layout {
  const end = reader.bytes.length
  // Messages of a usual profile take some 30 to 100 bytes each.
  const capacity = 64 + (end >>> 6)
  const samples = new Spans(capacity)
  const mappings = new Spans(64)
  const locations = new Spans(capacity)
  const functions = new Spans(capacity)
  const strings = new Spans(capacity)
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

function readValueType(reader: WireReader, span: Span, strings: StringTable): ValueType {
  let type = 0
  let unit = 0
  reader.position = span[0]
  reader.end = span[1]
  while (reader.position < reader.end) {
    const key = reader.uint()
    if (key === 8) type = reader.uint()
    else if (key === 16) unit = reader.uint()
    else reader.skip(key & 7)
  }
  return { type: strings.get(type), unit: strings.get(unit) }
}

function readMappings(reader: WireReader, spans: Spans, strings: StringTable, ids: IdIndex): Mapping[] {
  const mappings: Mapping[] = []
  for (let i = 0; i < spans.count; i++) {
    reader.position = spans.start[i]!
    reader.end = spans.end[i]!
    let start = 0n
    let limit = 0n
    let offset = 0n
    let file = 0
    let buildId = 0
    ids.begin()
    while (reader.position < reader.end) {
      const key = reader.uint()
      if (key === 8) ids.readId(reader)
      else if (key === 16) start = readUnsigned(reader)
      else if (key === 24) limit = readUnsigned(reader)
      else if (key === 32) offset = readUnsigned(reader)
      else if (key === 40) file = reader.uint()
      else if (key === 48) buildId = reader.uint()
      else reader.skip(key & 7)
    }
    ids.add(i)
    mappings.push({ start, limit, offset, file: strings.get(file), buildId: strings.get(buildId) })
  }
  return mappings
}

function readFunctions(
  reader: WireReader,
  spans: Spans,
  strings: StringTable,
  ids: IdIndex,
): { functions: FunctionInfo[]; functionTextHash: Uint32Array } {
  const functions: FunctionInfo[] = []
  const functionTextHash = new Uint32Array(6 * spans.count)
  for (let i = 0; i < spans.count; i++) {
    reader.position = spans.start[i]!
    reader.end = spans.end[i]!
    let name = 0
    let systemName = 0
    let file = 0
    let startLine = 0
    ids.begin()
    while (reader.position < reader.end) {
      const key = reader.uint()
      if (key === 8) ids.readId(reader)
      else if (key === 16) name = reader.uint()
      else if (key === 24) systemName = reader.uint()
      else if (key === 32) file = reader.uint()
      else if (key === 40) startLine = readLineNumber(reader)
      else reader.skip(key & 7)
    }
    ids.add(i)
    functions.push({
      name: strings.get(name),
      systemName: strings.get(systemName),
      file: strings.get(file),
      startLine,
    })
    strings.storeHash(name, functionTextHash, 3 * i)
    strings.storeHash(systemName, functionTextHash, 3 * i + 1)
    strings.storeHash(file, functionTextHash, 3 * i + 2)
  }
  return { functions, functionTextHash }
}

type LocationColumns = Pick<
  Profile,
  'locationAddress' | 'locationMapping' | 'lineOffset' | 'lineFunction' | 'lineNumber'
>

function readLocations(
  reader: WireReader,
  spans: Spans,
  mappingIndex: IdIndex,
  functionIndex: IdIndex,
  ids: IdIndex,
): LocationColumns {
  const locationAddress = new BigUint64Array(spans.count)
  const addressHalves = new Uint32Array(locationAddress.buffer)
  const locationMapping = new Int32Array(spans.count).fill(-1)
  const lineOffset = new Uint32Array(spans.count + 1)
  let lineFunction = new Int32Array(spans.count + 16)
  let lineNumber = new Uint32Array(spans.count + 16)
  let lines = 0
  for (let i = 0; i < spans.count; i++) {
    const locationEnd = spans.end[i]!
    reader.position = spans.start[i]!
    reader.end = locationEnd
    ids.begin()
    while (reader.position < locationEnd) {
      const key = reader.uint()
      if (key === 8) ids.readId(reader)
      else if (key === 16) locationMapping[i] = mappingIndex.find(reader)
      else if (key === 24) {
        reader.long()
        addressHalves[2 * i] = reader.low
        addressHalves[2 * i + 1] = reader.high
      } else if (key === 34) {
        const lineEnd = reader.fieldEnd()
        reader.end = lineEnd
        if (lines === lineFunction.length) {
          lineFunction = grown(lineFunction, new Int32Array(2 * lines))
          lineNumber = grown(lineNumber, new Uint32Array(2 * lines))
        }
        let functionIndexOfLine = -1
        let line = 0
        while (reader.position < lineEnd) {
          const lineKey = reader.uint()
          if (lineKey === 8) functionIndexOfLine = functionIndex.find(reader)
          else if (lineKey === 16) line = readLineNumber(reader)
          else reader.skip(lineKey & 7)
        }
        lineFunction[lines] = functionIndexOfLine
        lineNumber[lines] = line
        lines++
        reader.end = locationEnd
      } else reader.skip(key & 7)
    }
    ids.add(i)
    lineOffset[i + 1] = lines
  }
  return {
    locationAddress,
    locationMapping,
    lineOffset,
    lineFunction: lineFunction.slice(0, lines),
    lineNumber: lineNumber.slice(0, lines),
  }
}

type SampleColumns = Pick<
  Profile,
  | 'stackOffset'
  | 'stackLocation'
  | 'values'
  | 'labelOffset'
  | 'labelKey'
  | 'labelString'
  | 'labelNumber'
  | 'labelUnit'
  | 'labelStrings'
>

function readSamples(
  reader: WireReader,
  spans: Spans,
  valuesPerSample: number,
  strings: StringTable,
  locationIndex: IdIndex,
  limits: PprofLimits,
): SampleColumns {
  const stackOffset = new Uint32Array(spans.count + 1)
  let stackLocation = new Uint32Array(Math.max(64, spans.count * 8))
  // A sample that holds too few bytes for its values is refused below, so rows are only added for
  // samples that paid for them.
  let values = new BigInt64Array(Math.min(spans.count, 1024) * valuesPerSample)
  let valueHalves = new Uint32Array(values.buffer)
  const labelOffset = new Uint32Array(spans.count + 1)
  const labels = new LabelColumns(strings)
  let frames = 0

  const pushLocation = (sample: number): void => {
    const index = locationIndex.find(reader)
    if (index < 0) throw badLocation(sample, reader)
    if (frames === stackLocation.length) stackLocation = grown(stackLocation, new Uint32Array(2 * frames))
    stackLocation[frames++] = index
  }

  for (let i = 0; i < spans.count; i++) {
    const sampleEnd = spans.end[i]!
    reader.position = spans.start[i]!
    reader.end = sampleEnd
    const firstFrame = frames
    const firstValue = i * valuesPerSample
    let valueCount = 0
    if (firstValue + valuesPerSample > values.length) {
      values = grown(values, new BigInt64Array(Math.max(2 * values.length, firstValue + valuesPerSample)))
      valueHalves = new Uint32Array(values.buffer)
    }
    while (reader.position < sampleEnd) {
      const key = reader.uint()
      if (key === 10) {
        const end = reader.fieldEnd()
        reader.end = end
        while (reader.position < end) pushLocation(i)
        reader.end = sampleEnd
      } else if (key === 18 || key === 16) {
        const end = key === 18 ? reader.fieldEnd() : reader.position + 1
        if (key === 18) reader.end = end
        while (reader.position < end) {
          reader.long()
          if (valueCount < valuesPerSample) {
            const half = 2 * (firstValue + valueCount)
            valueHalves[half] = reader.low
            valueHalves[half + 1] = reader.high
          }
          valueCount++
        }
        reader.end = sampleEnd
      } else if (key === 26) {
        const end = reader.fieldEnd()
        reader.end = end
        labels.read(reader)
        reader.end = sampleEnd
      } else if (key === 8) pushLocation(i)
      else reader.skip(key & 7)
    }
    if (valueCount !== valuesPerSample) {
      throw profileError(
        'PPROF_VALUE_COUNT',
        `sample ${i} has ${valueCount} values for ${valuesPerSample} sample types`,
        {
          sample: i,
          values: valueCount,
          sampleTypes: valuesPerSample,
        },
      )
    }
    if (frames - firstFrame > limits.maxStackDepth) {
      checkLimit(`location_id of sample ${i}`, frames - firstFrame, limits.maxStackDepth, 'maxStackDepth')
    }
    stackOffset[i + 1] = frames
    const labelCount = labels.count - labelOffset[i]!
    if (labelCount > limits.maxLabelsPerSample) {
      checkLimit(`label of sample ${i}`, labelCount, limits.maxLabelsPerSample, 'maxLabelsPerSample')
    }
    labelOffset[i + 1] = labels.count
  }
  return {
    stackOffset,
    stackLocation: stackLocation.slice(0, frames),
    values: values.slice(0, spans.count * valuesPerSample),
    labelOffset,
    ...labels.columns(),
  }
}

class LabelColumns {
  count = 0
  readonly #strings: StringTable
  #key = new Uint32Array(64)
  #string = new Int32Array(64)
  #number = new BigInt64Array(64)
  #numberHalves = new Uint32Array(this.#number.buffer)
  #unit = new Int32Array(64)
  readonly #labelStrings: string[] = []
  readonly #positionOfString = new Map<string, number>()
  readonly #positionOfIndex = new Map<number, number>()

  constructor(strings: StringTable) {
    this.#strings = strings
  }

  read(reader: WireReader): void {
    const i = this.count
    if (i === this.#key.length) this.#grow()
    let key = 0
    let text = 0
    let unit = 0
    let low = 0
    let high = 0
    while (reader.position < reader.end) {
      const field = reader.uint()
      if (field === 8) key = reader.uint()
      else if (field === 16) text = reader.uint()
      else if (field === 24) {
        reader.long()
        low = reader.low
        high = reader.high
      } else if (field === 32) unit = reader.uint()
      else reader.skip(field & 7)
    }
    this.#key[i] = this.#position(key)
    // A label is numeric when it has no string; an empty string with the number 0 is an empty string.
    const isNumeric = text === 0 && (low !== 0 || high !== 0 || unit !== 0)
    this.#string[i] = isNumeric ? -1 : this.#position(text)
    this.#unit[i] = unit === 0 ? -1 : this.#position(unit)
    this.#numberHalves[2 * i] = low
    this.#numberHalves[2 * i + 1] = high
    this.count = i + 1
  }

  columns(): Pick<Profile, 'labelKey' | 'labelString' | 'labelNumber' | 'labelUnit' | 'labelStrings'> {
    return {
      labelKey: this.#key.slice(0, this.count),
      labelString: this.#string.slice(0, this.count),
      labelNumber: this.#number.slice(0, this.count),
      labelUnit: this.#unit.slice(0, this.count),
      labelStrings: this.#labelStrings,
    }
  }

  #position(stringIndex: number): number {
    let position = this.#positionOfIndex.get(stringIndex)
    if (position !== undefined) return position
    const text = this.#strings.get(stringIndex)
    position = this.#positionOfString.get(text)
    if (position === undefined) {
      position = this.#labelStrings.length
      this.#labelStrings.push(text)
      this.#positionOfString.set(text, position)
    }
    this.#positionOfIndex.set(stringIndex, position)
    return position
  }

  #grow(): void {
    const capacity = 2 * this.count
    this.#key = grown(this.#key, new Uint32Array(capacity))
    this.#string = grown(this.#string, new Int32Array(capacity))
    this.#number = grown(this.#number, new BigInt64Array(capacity))
    this.#numberHalves = new Uint32Array(this.#number.buffer)
    this.#unit = grown(this.#unit, new Int32Array(capacity))
  }
}

/** The string table: decoded when asked for, once each. */
class StringTable {
  readonly #bytes: Uint8Array
  readonly #spans: Spans
  readonly #decoded: (string | undefined)[]
  readonly #decoder = new TextDecoder()
  /** The table's bytes as characters, one each: right for strings that are ASCII, which nearly all are. */
  readonly #characters: string
  readonly #charactersStart: number
  /** Where bytes over 0x7f lie, ascending; null when they are many. Long lengths of strings are among them. */
  readonly #highBytes: number[] | null
  readonly #hashes: Uint32Array
  readonly #isHashed: Uint8Array
  readonly #hasher = new IdentityHasher()

  constructor(bytes: Uint8Array, spans: Spans) {
    this.#bytes = bytes
    this.#spans = spans
    this.#decoded = new Array(spans.count)
    this.#hashes = new Uint32Array(2 * spans.count + 2)
    this.#isHashed = new Uint8Array(spans.count + 1)
    this.#charactersStart = spans.count === 0 ? 0 : spans.start[0]!
    const end = spans.count === 0 ? 0 : spans.end[spans.count - 1]!
    this.#characters = new TextDecoder('latin1').decode(bytes.subarray(this.#charactersStart, end))
    this.#highBytes = findHighBytes(bytes, this.#charactersStart, end)
    if (spans.count > 0 && spans.end[0]! !== spans.start[0]!) {
      throw profileError(
        'PPROF_STRING_ZERO',
        `string_table[0] is "${this.get(0).slice(0, 64)}", it must be empty`,
      )
    }
  }

  get(index: number): string {
    const known = this.#decoded[index]
    if (known !== undefined) return known
    // Some writers leave the whole table out of an empty profile: index 0 is '' even then.
    if (index === 0 && this.#spans.count === 0) return ''
    if (index >= this.#spans.count) {
      throw profileError(
        'PPROF_STRING_INDEX',
        `string index ${index} is outside the table of ${this.#spans.count} strings`,
        { index, strings: this.#spans.count },
      )
    }
    const bytes = this.#bytes
    const start = this.#spans.start[index]!
    const end = this.#spans.end[index]!
    const text = this.#isAscii(start, end)
      ? this.#characters.slice(start - this.#charactersStart, end - this.#charactersStart)
      : this.#decoder.decode(bytes.subarray(start, end))
    this.#decoded[index] = text
    return text
  }

  /** Puts the text hash of a string at entry `entry` of `halves`. The index must be one that get() took. */
  storeHash(index: number, halves: Uint32Array, entry: number): void {
    if (this.#isHashed[index] === 0) {
      const start = index < this.#spans.count ? this.#spans.start[index]! : 0
      const end = index < this.#spans.count ? this.#spans.end[index]! : 0
      if (this.#isAscii(start, end)) this.#hasher.asciiText(this.#bytes, start, end)
      else this.#hasher.text(this.get(index))
      this.#hasher.store(this.#hashes, index)
      this.#isHashed[index] = 1
    }
    halves[2 * entry] = this.#hashes[2 * index]!
    halves[2 * entry + 1] = this.#hashes[2 * index + 1]!
  }

  #isAscii(start: number, end: number): boolean {
    const highBytes = this.#highBytes
    if (highBytes === null) {
      let seen = 0
      for (let at = start; at < end; at++) seen |= this.#bytes[at]!
      return seen < 0x80
    }
    let from = 0
    let to = highBytes.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (highBytes[middle]! < start) from = middle + 1
      else to = middle
    }
    return from === highBytes.length || highBytes[from]! >= end
  }
}

const MAX_HIGH_BYTES = 1024

function findHighBytes(bytes: Uint8Array, start: number, end: number): number[] | null {
  const found: number[] = []
  let at = start
  for (; at + 8 <= end; at += 8) {
    const seen =
      bytes[at]! |
      bytes[at + 1]! |
      bytes[at + 2]! |
      bytes[at + 3]! |
      bytes[at + 4]! |
      bytes[at + 5]! |
      bytes[at + 6]! |
      bytes[at + 7]!
    if (seen < 0x80) continue
    for (let i = at; i < at + 8; i++) if (bytes[i]! >= 0x80) found.push(i)
    if (found.length > MAX_HIGH_BYTES) return null
  }
  for (; at < end; at++) if (bytes[at]! >= 0x80) found.push(at)
  return found
}

/**
 * Positions by id. Writers number from 1, so an array serves; an id far over the count (an address or a
 * hash as id) moves all to a Map, whose size is bounded by the number of messages.
 */
class IdIndex {
  readonly #what: string
  readonly #dense: Int32Array
  #sparse: Map<number | bigint, number> | null = null
  #id: number | bigint = 0

  constructor(what: string, count: number) {
    this.#what = what
    this.#dense = new Int32Array(2 * count + 64).fill(-1)
  }

  begin(): void {
    this.#id = 0
  }

  readId(reader: WireReader): void {
    this.#id = readId(reader)
  }

  add(position: number): void {
    const id = this.#id
    if (id === 0) throw profileError('PPROF_ZERO_ID', `${this.#what} number ${position + 1} has id 0`)
    const isDense = typeof id === 'number' && id < this.#dense.length
    const isKnown = isDense ? this.#dense[id]! >= 0 : this.#sparse?.has(id) === true
    if (isKnown) {
      throw profileError('PPROF_DUPLICATE_ID', `two messages are ${this.#what} ${id}`, { id: String(id) })
    }
    if (isDense) this.#dense[id] = position
    else {
      this.#sparse ??= new Map()
      this.#sparse.set(id, position)
    }
  }

  /** Reads an id and gives its position, -1 when no message has it. */
  find(reader: WireReader): number {
    const id = readId(reader)
    if (typeof id === 'number' && id < this.#dense.length) return this.#dense[id]!
    return this.#sparse?.get(id) ?? -1
  }
}

function readId(reader: WireReader): number | bigint {
  const id = reader.uint()
  if (id <= Number.MAX_SAFE_INTEGER) return id
  return (BigInt(reader.high) << 32n) | BigInt(reader.low)
}

function readUnsigned(reader: WireReader): bigint {
  reader.long()
  return (BigInt(reader.high) << 32n) | BigInt(reader.low)
}

function readLineNumber(reader: WireReader): number {
  const line = reader.uint()
  return line <= 0xffffffff ? line : 0
}

function grown<T extends Uint32Array | Int32Array | BigInt64Array>(from: T, to: T): T {
  // The cast joins number and bigint arrays: `from` and `to` have the same element type.
  ;(to as Uint32Array).set(from as Uint32Array)
  return to
}

function badLocation(sample: number, reader: WireReader): Error {
  const id = reader.bytes[reader.position - 1] === 0 ? 0 : -1
  return id === 0
    ? profileError('PPROF_LOCATION_ZERO', `sample ${sample} names location 0`, { sample })
    : profileError(
        'PPROF_LOCATION_UNKNOWN',
        `sample ${sample} names a location that the profile does not hold`,
        {
          sample,
        },
      )
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

function checkLimit(field: string, value: number, limit: number, setting: string): void {
  if (value <= limit) return
  throw profileError('PPROF_LIMIT', `${field}: ${value}, the limit is ${limit} (${setting})`, {
    field,
    value,
    limit,
    setting,
  })
}
