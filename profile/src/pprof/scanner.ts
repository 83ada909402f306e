import { profileError } from '../errors.ts'
import type { Mapping, ValueType } from '../model.ts'
import { grown, roomyInt32, roomyUint32 } from './grown.ts'
import { IdIndex } from './id-index.ts'
import { LabelColumns } from './label-columns.ts'
import { type Layout, readLayout, type Span } from './layout.ts'
import { checkLimit, type PprofLimits } from './limits.ts'
import { LocationLists } from './location-lists.ts'
import { StringTable } from './string-table.ts'
import { WireReader } from './wire-reader.ts'

/**
 * Reads one pprof message after another into the same columns, texts left in the message. What a column
 * holds past its count is what earlier messages left there; all of it is good until the next scan().
 *
 * Memory: a first pass finds where messages lie, so columns are sized by what is really there; a hostile
 * body costs a bounded multiple of its own size. The columns stay as large as the largest body needed.
 */
export class PprofScanner {
  readonly strings: StringTable
  layout!: Layout
  sampleTypes: ValueType[] = []
  periodType: ValueType = { type: '', unit: '' }
  mappings: Mapping[] = []

  functions = 0
  /** String indices. */
  functionName = new Uint32Array(0)
  functionSystemName = new Uint32Array(0)
  functionFile = new Uint32Array(0)
  functionStartLine = new Uint32Array(0)

  locations = 0
  /** Unsigned halves, low first. */
  addressHalves = new Uint32Array(0)
  locationMapping = new Int32Array(0)
  /** locations + 1 offsets into lineFunction and lineNumber. */
  lineOffset = new Uint32Array(1)
  lineFunction = new Int32Array(64)
  lineNumber = new Uint32Array(64)
  lines = 0

  samples = 0
  readonly lists = new LocationLists()
  /** The list of locations of each sample. */
  sampleList = new Uint32Array(0)
  /** samples x sampleTypes as unsigned halves, low first. */
  valueHalves = new Uint32Array(0)
  /** samples + 1 offsets into the labels. */
  labelOffset = new Uint32Array(1)
  readonly labels: LabelColumns

  #reader = new WireReader(new Uint8Array(0))
  #limits!: PprofLimits
  readonly #mappingIndex = new IdIndex('mapping')
  readonly #functionIndex = new IdIndex('function')
  readonly #locationIndex = new IdIndex('location')

  constructor(strings = new StringTable()) {
    this.strings = strings
    this.labels = new LabelColumns(strings)
  }

  /** bytes: decompressed; they must not change before the next scan(). Throws PPROF_* of errors.ts. */
  scan(bytes: Uint8Array, limits: PprofLimits): void {
    if (bytes.length === 0) throw profileError('PPROF_EMPTY', 'the body is empty')
    this.#reader = new WireReader(bytes)
    this.#limits = limits
    this.layout = readLayout(this.#reader, limits, this.layout)
    this.strings.reset(bytes, this.layout.strings)
    this.sampleTypes = this.layout.sampleTypes.map(span => this.#readValueType(span))
    this.periodType = this.layout.periodType
      ? this.#readValueType(this.layout.periodType)
      : { type: '', unit: '' }
    this.strings.check(this.layout.defaultSampleType)
    for (const index of this.layout.comments) this.strings.check(index)
    this.#readMappings()
    this.#readFunctions()
    this.#readLocations()
    this.#readSamples(bytes)
  }

  #readValueType(span: Span): ValueType {
    const reader = this.#reader
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
    return { type: this.strings.get(type), unit: this.strings.get(unit) }
  }

  #readMappings(): void {
    const reader = this.#reader
    const { strings } = this
    const ids = this.#mappingIndex
    const spans = this.layout.mappings
    this.mappings = []
    ids.reset(spans.count)
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
      this.mappings.push({ start, limit, offset, file: strings.get(file), buildId: strings.get(buildId) })
    }
  }

  #readFunctions(): void {
    const reader = this.#reader
    const { strings } = this
    const ids = this.#functionIndex
    const spans = this.layout.functions
    const count = spans.count
    this.functions = count
    this.functionName = roomyUint32(this.functionName, count)
    this.functionSystemName = roomyUint32(this.functionSystemName, count)
    this.functionFile = roomyUint32(this.functionFile, count)
    this.functionStartLine = roomyUint32(this.functionStartLine, count)
    const { functionName, functionSystemName, functionFile, functionStartLine } = this
    ids.reset(count)
    for (let i = 0; i < count; i++) {
      const end = spans.end[i]!
      reader.position = spans.start[i]!
      reader.end = end
      let name = 0
      let systemName = 0
      let file = 0
      let startLine = 0
      ids.begin()
      while (reader.position < end) {
        const key = reader.uint()
        if (key === 8) ids.readId(reader)
        else if (key === 16) name = reader.uint()
        else if (key === 24) systemName = reader.uint()
        else if (key === 32) file = reader.uint()
        else if (key === 40) startLine = readLineNumber(reader)
        else reader.skip(key & 7)
      }
      ids.add(i)
      strings.check(name)
      strings.check(systemName)
      strings.check(file)
      functionName[i] = name
      functionSystemName[i] = systemName
      functionFile[i] = file
      functionStartLine[i] = startLine
    }
  }

  #readLocations(): void {
    const reader = this.#reader
    const mappingIndex = this.#mappingIndex
    const functionIndex = this.#functionIndex
    const ids = this.#locationIndex
    const spans = this.layout.locations
    const count = spans.count
    this.locations = count
    this.addressHalves = roomyUint32(this.addressHalves, 2 * count)
    this.locationMapping = roomyInt32(this.locationMapping, count)
    this.lineOffset = roomyUint32(this.lineOffset, count + 1)
    const { addressHalves, locationMapping, lineOffset } = this
    let { lineFunction, lineNumber } = this
    const { maxLines } = this.#limits
    ids.reset(count)
    lineOffset[0] = 0
    let lines = 0
    for (let i = 0; i < count; i++) {
      const locationEnd = spans.end[i]!
      reader.position = spans.start[i]!
      reader.end = locationEnd
      let mapping = -1
      let low = 0
      let high = 0
      ids.begin()
      while (reader.position < locationEnd) {
        const key = reader.uint()
        if (key === 8) ids.readId(reader)
        else if (key === 16) mapping = mappingIndex.find(reader)
        else if (key === 24) {
          reader.halves()
          low = reader.low
          high = reader.high
        } else if (key === 34) {
          const lineEnd = reader.fieldEnd()
          reader.end = lineEnd
          // As they come: one location may hold all lines of a body.
          if (lines >= maxLines) checkLimit('line', lines + 1, maxLines, 'maxLines')
          if (lines === lineFunction.length) {
            lineFunction = grown(lineFunction, new Int32Array(2 * lines))
            lineNumber = grown(lineNumber, new Uint32Array(2 * lines))
          }
          let lineFunctionIndex = -1
          let line = 0
          while (reader.position < lineEnd) {
            const lineKey = reader.uint()
            if (lineKey === 8) lineFunctionIndex = functionIndex.find(reader)
            else if (lineKey === 16) line = readLineNumber(reader)
            else reader.skip(lineKey & 7)
          }
          lineFunction[lines] = lineFunctionIndex
          lineNumber[lines] = line
          lines++
          reader.end = locationEnd
        } else reader.skip(key & 7)
      }
      ids.add(i)
      locationMapping[i] = mapping
      addressHalves[2 * i] = low
      addressHalves[2 * i + 1] = high
      lineOffset[i + 1] = lines
    }
    this.lines = lines
    this.lineFunction = lineFunction
    this.lineNumber = lineNumber
  }

  #readSamples(bytes: Uint8Array): void {
    const reader = this.#reader
    const limits = this.#limits
    const { labels, lists } = this
    const spans = this.layout.samples
    const count = spans.count
    const width = this.sampleTypes.length
    this.samples = count
    this.sampleList = roomyUint32(this.sampleList, count)
    this.labelOffset = roomyUint32(this.labelOffset, count + 1)
    const { sampleList, labelOffset } = this
    let { valueHalves } = this
    labelOffset[0] = 0
    labels.reset()
    lists.reset(bytes, count)
    for (let i = 0; i < count; i++) {
      const sampleEnd = spans.end[i]!
      reader.position = spans.start[i]!
      reader.end = sampleEnd
      // A sample that holds too few bytes for its values is refused below, so room is only made for
      // samples that paid for theirs.
      const firstHalf = 2 * i * width
      if (firstHalf + 2 * width > valueHalves.length) {
        valueHalves = grown(
          valueHalves,
          new Uint32Array(Math.max(2 * valueHalves.length, firstHalf + 2 * width)),
        )
      }
      let list = -1
      let listStart = 0
      let listEnd = 0
      let fields = 0
      let valueCount = 0
      while (reader.position < sampleEnd) {
        const key = reader.uint()
        if (key === 10) {
          const end = reader.fieldEnd()
          if (fields++ === 0) {
            listStart = reader.position
            listEnd = end
            list = lists.find(listStart, end)
          } else {
            // One run of bytes is the rule; of several the whole is a list of its own.
            if (list >= 0) lists.copy(list)
            list = -1
            listEnd = listStart
          }
          if (list >= 0) reader.position = end
          else {
            reader.end = end
            while (reader.position < end) this.#pushLocation(i)
            reader.end = sampleEnd
          }
        } else if (key === 18 || key === 16) {
          const end = key === 18 ? reader.fieldEnd() : reader.position + 1
          if (key === 18) reader.end = end
          while (reader.position < end) {
            reader.halves()
            if (valueCount < width) {
              valueHalves[firstHalf + 2 * valueCount] = reader.low
              valueHalves[firstHalf + 2 * valueCount + 1] = reader.high
            }
            valueCount++
          }
          reader.end = sampleEnd
        } else if (key === 26) {
          const end = reader.fieldEnd()
          reader.end = end
          if (labels.count >= limits.maxLabels)
            checkLimit('label', labels.count + 1, limits.maxLabels, 'maxLabels')
          labels.read(reader)
          reader.end = sampleEnd
        } else if (key === 8) {
          if (list >= 0) lists.copy(list)
          list = -1
          fields++
          listEnd = listStart
          this.#pushLocation(i)
        } else reader.skip(key & 7)
      }
      if (valueCount !== width) {
        throw profileError(
          'PPROF_VALUE_COUNT',
          `sample ${i} has ${valueCount} values for ${width} sample types`,
          { sample: i, values: valueCount, sampleTypes: width },
        )
      }
      if (list < 0) {
        const depth = lists.filled - lists.offset[lists.count]!
        if (depth > limits.maxStackDepth) {
          checkLimit(`location_id of sample ${i}`, depth, limits.maxStackDepth, 'maxStackDepth')
        }
        list = lists.end(listStart, listEnd)
      }
      sampleList[i] = list
      const labelCount = labels.count - labelOffset[i]!
      if (labelCount > limits.maxLabelsPerSample) {
        checkLimit(`label of sample ${i}`, labelCount, limits.maxLabelsPerSample, 'maxLabelsPerSample')
      }
      labelOffset[i + 1] = labels.count
    }
    this.valueHalves = valueHalves
  }

  #pushLocation(sample: number): void {
    const reader = this.#reader
    const index = this.#locationIndex.find(reader)
    if (index < 0) throw badLocation(sample, reader)
    const { maxSampleLocations } = this.#limits
    if (this.lists.filled >= maxSampleLocations)
      checkLimit('location_id', this.lists.filled + 1, maxSampleLocations, 'maxSampleLocations')
    this.lists.push(index)
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
  return reader.bytes[reader.position - 1] === 0
    ? profileError('PPROF_LOCATION_ZERO', `sample ${sample} names location 0`, { sample })
    : profileError(
        'PPROF_LOCATION_UNKNOWN',
        `sample ${sample} names a location that the profile does not hold`,
        { sample },
      )
}
