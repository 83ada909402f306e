import { profileError } from '../errors.ts'
import type { FunctionInfo, Mapping, Profile, ValueType } from '../model.ts'
import { grown } from './grown.ts'
import { IdIndex } from './id-index.ts'
import { LabelColumns } from './label-columns.ts'
import { readLayout, type Span, type Spans } from './layout.ts'
import { checkLimit, DEFAULT_PPROF_LIMITS, type PprofLimits } from './limits.ts'
import { StringTable } from './string-table.ts'
import { WireReader } from './wire-reader.ts'

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

function readUnsigned(reader: WireReader): bigint {
  reader.long()
  return (BigInt(reader.high) << 32n) | BigInt(reader.low)
}

function readLineNumber(reader: WireReader): number {
  const line = reader.uint()
  return line <= 0xffffffff ? line : 0
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
