import type { Profile, ValueType } from '../model.ts'

/**
 * Encodes a profile as one pprof message, not compressed. Ids are positions + 1, equal strings are
 * written once in order of first use, repeated numbers are packed: equal profiles give equal bytes.
 */
export function encodePprof(profile: Profile): Uint8Array {
  const writer = new WireWriter()
  const strings = new StringWriter()

  for (const type of profile.sampleTypes) writeValueType(writer, 1, type, strings)
  writeSamples(writer, profile, strings)
  const flags = symbolFlags(profile)
  for (const [i, mapping] of profile.mappings.entries()) {
    const mark = writer.begin(3)
    writer.uintField(1, i + 1)
    writer.bigField(2, mapping.start)
    writer.bigField(3, mapping.limit)
    writer.bigField(4, mapping.offset)
    writer.uintField(5, strings.index(mapping.file))
    writer.uintField(6, strings.index(mapping.buildId))
    for (let field = 7; field <= 10; field++) writer.uintField(field, flags[i]! & (1 << (field - 7)) ? 1 : 0)
    writer.end(mark)
  }
  writeLocations(writer, profile)
  for (const [i, fn] of profile.functions.entries()) {
    const mark = writer.begin(5)
    writer.uintField(1, i + 1)
    writer.uintField(2, strings.index(fn.name))
    writer.uintField(3, strings.index(fn.systemName))
    writer.uintField(4, strings.index(fn.file))
    writer.uintField(5, fn.startLine)
    writer.end(mark)
  }
  const comments = profile.comments.map(comment => strings.index(comment))
  const defaultSampleType = strings.index(profile.defaultSampleType)
  const hasPeriodType = profile.periodType.type !== '' || profile.periodType.unit !== ''
  if (hasPeriodType) {
    strings.index(profile.periodType.type)
    strings.index(profile.periodType.unit)
  }
  for (const text of strings.list) writer.textField(6, text)
  writer.bigField(9, BigInt.asUintN(64, profile.timeNanos))
  writer.bigField(10, BigInt.asUintN(64, profile.durationNanos))
  if (hasPeriodType) writeValueType(writer, 11, profile.periodType, strings)
  writer.bigField(12, BigInt.asUintN(64, profile.period))
  for (const comment of comments) writer.uintField(13, comment, true)
  writer.uintField(14, defaultSampleType)
  return writer.finish()
}

/**
 * Per mapping, in the order of pprof's fields 7 to 10: has functions, file names, line numbers, inlined
 * frames. `go tool pprof` looks for binaries and symbolizes again where the first is missing, so it is set
 * only where every location has a name.
 */
function symbolFlags(profile: Profile): Uint8Array {
  const flags = new Uint8Array(profile.mappings.length)
  const hasUnnamed = new Uint8Array(profile.mappings.length)
  for (let location = 0; location < profile.locationMapping.length; location++) {
    const mapping = profile.locationMapping[location]!
    if (mapping < 0) continue
    const first = profile.lineOffset[location]!
    const last = profile.lineOffset[location + 1]!
    if (last - first > 1) flags[mapping]! |= 8
    let isNamed = last > first
    for (let line = first; line < last; line++) {
      const fn = profile.functions[profile.lineFunction[line]!]
      if (fn === undefined || fn.name === '') isNamed = false
      else if (fn.file !== '') flags[mapping]! |= 2
      if (profile.lineNumber[line] !== 0) flags[mapping]! |= 4
    }
    if (isNamed) flags[mapping]! |= 1
    else hasUnnamed[mapping] = 1
  }
  return flags.map((value, mapping) => (hasUnnamed[mapping] === 1 ? value & ~1 : value))
}

function writeValueType(writer: WireWriter, field: number, type: ValueType, strings: StringWriter): void {
  const mark = writer.begin(field)
  writer.uintField(1, strings.index(type.type))
  writer.uintField(2, strings.index(type.unit))
  writer.end(mark)
}

function writeSamples(writer: WireWriter, profile: Profile, strings: StringWriter): void {
  const samples = profile.stackOffset.length - 1
  const width = profile.sampleTypes.length
  const values = profile.values
  const valueHalves = new Uint32Array(values.buffer, values.byteOffset, 2 * values.length)
  const numbers = profile.labelNumber
  const numberHalves = new Uint32Array(numbers.buffer, numbers.byteOffset, 2 * numbers.length)
  for (let i = 0; i < samples; i++) {
    const sample = writer.begin(2)
    const first = profile.stackOffset[i]!
    const last = profile.stackOffset[i + 1]!
    if (last > first) {
      const stack = writer.begin(1)
      for (let at = first; at < last; at++) writer.uint(profile.stackLocation[at]! + 1)
      writer.end(stack)
    }
    const packed = writer.begin(2)
    for (let at = i * width; at < (i + 1) * width; at++)
      writer.long(valueHalves[2 * at]!, valueHalves[2 * at + 1]!)
    writer.end(packed)
    for (let at = profile.labelOffset[i]!; at < profile.labelOffset[i + 1]!; at++) {
      const label = writer.begin(3)
      writer.uintField(1, strings.index(profile.labelStrings[profile.labelKey[at]!]!))
      const text = profile.labelString[at]!
      if (text >= 0) writer.uintField(2, strings.index(profile.labelStrings[text]!))
      writer.longField(3, numberHalves[2 * at]!, numberHalves[2 * at + 1]!)
      const unit = profile.labelUnit[at]!
      if (unit >= 0) writer.uintField(4, strings.index(profile.labelStrings[unit]!))
      writer.end(label)
    }
    writer.end(sample)
  }
}

function writeLocations(writer: WireWriter, profile: Profile): void {
  for (let i = 0; i < profile.locationAddress.length; i++) {
    const location = writer.begin(4)
    writer.uintField(1, i + 1)
    writer.uintField(2, profile.locationMapping[i]! + 1)
    writer.bigField(3, profile.locationAddress[i]!)
    for (let at = profile.lineOffset[i]!; at < profile.lineOffset[i + 1]!; at++) {
      const line = writer.begin(4)
      writer.uintField(1, profile.lineFunction[at]! + 1)
      writer.uintField(2, profile.lineNumber[at]!)
      writer.end(line)
    }
    writer.end(location)
  }
}

class StringWriter {
  readonly list: string[] = ['']
  readonly #index = new Map<string, number>([['', 0]])

  index(text: string): number {
    let index = this.#index.get(text)
    if (index === undefined) {
      index = this.list.length
      this.list.push(text)
      this.#index.set(text, index)
    }
    return index
  }
}

/** Where an open message's length byte stands. */
type Mark = number

class WireWriter {
  #bytes = new Uint8Array(16384)
  #length = 0
  readonly #encoder = new TextEncoder()

  begin(field: number): Mark {
    this.uint(field * 8 + 2)
    this.#reserve(1)
    return this.#length++
  }

  /** Closes a message: one byte was kept for its length, more are made by moving the content. */
  end(mark: Mark): void {
    const length = this.#length - mark - 1
    let size = 1
    for (let rest = length >>> 7; rest > 0; rest >>>= 7) size++
    if (size > 1) {
      this.#reserve(size)
      this.#bytes.copyWithin(mark + size, mark + 1, this.#length)
      this.#length += size - 1
    }
    let at = mark
    let rest = length
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[at++] = (rest & 0x7f) | 0x80
    this.#bytes[at] = rest
  }

  /** Below 2^32. */
  uint(value: number): void {
    this.#reserve(5)
    const bytes = this.#bytes
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) bytes[this.#length++] = (rest & 0x7f) | 0x80
    bytes[this.#length++] = rest
  }

  long(low: number, high: number): void {
    this.#reserve(10)
    const bytes = this.#bytes
    let lowRest = low >>> 0
    let highRest = high >>> 0
    while (highRest > 0 || lowRest > 0x7f) {
      bytes[this.#length++] = (lowRest & 0x7f) | 0x80
      lowRest = ((lowRest >>> 7) | (highRest << 25)) >>> 0
      highRest >>>= 7
    }
    bytes[this.#length++] = lowRest
  }

  uintField(field: number, value: number, isWrittenWhenZero = false): void {
    if (value === 0 && !isWrittenWhenZero) return
    this.uint(field * 8)
    this.uint(value)
  }

  longField(field: number, low: number, high: number): void {
    if (low === 0 && high === 0) return
    this.uint(field * 8)
    this.long(low, high)
  }

  bigField(field: number, value: bigint): void {
    this.longField(field, Number(value & 0xffffffffn), Number(value >> 32n))
  }

  textField(field: number, text: string): void {
    const mark = this.begin(field)
    this.#reserve(3 * text.length)
    this.#length += this.#encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written
    this.end(mark)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + length))
    bytes.set(this.#bytes)
    this.#bytes = bytes
  }
}
