import { grown } from './grown.ts'
import type { StringTable } from './string-table.ts'
import type { WireReader } from './wire-reader.ts'

/** Labels of all samples, and their texts each once. */
export class LabelColumns {
  count = 0
  readonly #strings: StringTable
  key = new Uint32Array(64)
  /** Index into texts, -1 for a numeric label. */
  string = new Int32Array(64)
  number = new BigInt64Array(64)
  numberHalves = new Uint32Array(this.number.buffer)
  /** Index into texts, -1 without a unit. */
  unit = new Int32Array(64)
  texts: string[] = []
  readonly #positionOfString = new Map<string, number>()
  readonly #positionOfIndex = new Map<number, number>()

  constructor(strings: StringTable) {
    this.#strings = strings
  }

  /** Forgets the labels of the last body. */
  reset(): void {
    this.count = 0
    this.texts = []
    this.#positionOfString.clear()
    this.#positionOfIndex.clear()
  }

  read(reader: WireReader): void {
    const i = this.count
    if (i === this.key.length) this.#grow()
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
    this.key[i] = this.#position(key)
    // A label is numeric when it has no string; an empty string with the number 0 is an empty string.
    const isNumeric = text === 0 && (low !== 0 || high !== 0 || unit !== 0)
    this.string[i] = isNumeric ? -1 : this.#position(text)
    this.unit[i] = unit === 0 ? -1 : this.#position(unit)
    this.numberHalves[2 * i] = low
    this.numberHalves[2 * i + 1] = high
    this.count = i + 1
  }

  #position(stringIndex: number): number {
    let position = this.#positionOfIndex.get(stringIndex)
    if (position !== undefined) return position
    const text = this.#strings.get(stringIndex)
    position = this.#positionOfString.get(text)
    if (position === undefined) {
      position = this.texts.length
      this.texts.push(text)
      this.#positionOfString.set(text, position)
    }
    this.#positionOfIndex.set(stringIndex, position)
    return position
  }

  #grow(): void {
    const capacity = 2 * this.count
    this.key = grown(this.key, new Uint32Array(capacity))
    this.string = grown(this.string, new Int32Array(capacity))
    this.number = grown(this.number, new BigInt64Array(capacity))
    this.numberHalves = new Uint32Array(this.number.buffer)
    this.unit = grown(this.unit, new Int32Array(capacity))
  }
}
