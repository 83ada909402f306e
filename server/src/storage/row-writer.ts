/** Writes ClickHouse's RowBinary. bytes() is a view that the next write may move. */
export class RowWriter {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes = 65_536) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Forgets what was written; the room stays. */
  clear(): void {
    this.#length = 0
  }

  /** May replace the buffer: reserve first, then name it. */
  #reserve(count: number): number {
    const at = this.#length
    if (at + count > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + count))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = at + count
    return at
  }

  uint8(value: number): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  uint16(value: number): void {
    const at = this.#reserve(2)
    this.#buffer.writeUInt16LE(value, at)
  }

  uint32(value: number): void {
    const at = this.#reserve(4)
    const buffer = this.#buffer
    buffer[at] = value
    buffer[at + 1] = value >>> 8
    buffer[at + 2] = value >>> 16
    buffer[at + 3] = value >>> 24
  }

  uint64(value: bigint): void {
    const at = this.#reserve(8)
    this.#buffer.writeBigUInt64LE(value, at)
  }

  /** UInt64 or Int64, as unsigned halves. */
  halves(low: number, high: number): void {
    this.uint32(low)
    this.uint32(high)
  }

  int64(value: bigint): void {
    const at = this.#reserve(8)
    this.#buffer.writeBigInt64LE(value, at)
  }

  count(value: number): void {
    let rest = value
    while (rest > 127) {
      this.uint8((rest & 127) | 128)
      rest = Math.floor(rest / 128)
    }
    this.uint8(rest)
  }

  string(text: string): void {
    const size = Buffer.byteLength(text)
    this.count(size)
    const at = this.#reserve(size)
    this.#buffer.write(text, at, 'utf8')
  }

  fixed(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.#buffer.set(bytes, at)
  }

  /** String, of bytes that are UTF-8. */
  utf8(bytes: Uint8Array): void {
    this.count(bytes.length)
    this.fixed(bytes)
  }

  /** Array(UInt64) or Array(Int64); typed arrays hold the machine's order, which is little-endian here. */
  array64(values: BigUint64Array | BigInt64Array): void {
    this.count(values.length)
    this.fixed(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }

  /** The same of unsigned halves, low first. */
  arrayOfHalves(halves: Uint32Array): void {
    this.count(halves.length / 2)
    this.fixed(new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength))
  }

  map(entries: readonly { name: string; value: string }[]): void {
    this.count(entries.length)
    for (const { name, value } of entries) {
      this.string(name)
      this.string(value)
    }
  }
}
