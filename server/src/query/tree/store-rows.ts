/**
 * Answers in ClickHouse's RowBinary: columns one after another, little-endian, arrays and texts led by a varint
 * length. 64-bit ids are read as halves, low first.
 */
export class RowCursor {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isDone(): boolean {
    return this.at >= this.bytes.length
  }

  uint32(): number {
    const value = this.bytes.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  varint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      if (shift > 35) throw new RangeError('a length has more than five bytes')
      const byte = this.bytes.readUInt8(this.at++)
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }

  /** Moves past a length and so many units of unitBytes; where they start. Throws RangeError when they end after the answer. */
  skip(unitBytes: number): { start: number; end: number } {
    const length = this.varint()
    const start = this.at
    const end = start + length * unitBytes
    if (end > this.bytes.length) throw new RangeError(`${length} entries end after the answer`)
    this.at = end
    return { start, end }
  }

  text(): string {
    const { start, end } = this.skip(1)
    return this.bytes.toString('utf8', start, end)
  }
}

/** Sums by stack: the root label's values are empty without one. */
export interface StackSums {
  count: number
  /** count x 2: halves of the stack's id. */
  ids: Uint32Array
  /** Rounded past 2^53. */
  values: Float64Array
  /** Values of the root label, and the index of each sum's. */
  roots: string[]
  root: Uint32Array
}

const sumBytes = 24

/** Rows of (stack_id UInt64, value Int128), or with the text of a label before them. */
export function readStackSums(bytes: Uint8Array, hasRoots: boolean): StackSums {
  const cursor = new RowCursor(bytes)
  if (!hasRoots && bytes.length % sumBytes !== 0)
    throw new RangeError(`${bytes.length} bytes are not whole rows of ${sumBytes}`)
  const most = Math.floor(bytes.length / sumBytes)
  const sums = { ids: new Uint32Array(2 * most), values: new Float64Array(most) }
  const root = new Uint32Array(hasRoots ? most : 0)
  const rootOf = new Map<string, number>()
  let count = 0
  for (; !cursor.isDone; count++) {
    if (hasRoots) {
      const text = cursor.text()
      const known = rootOf.get(text)
      root[count] = known ?? rootOf.size
      if (known === undefined) rootOf.set(text, rootOf.size)
    }
    sums.ids[2 * count] = cursor.uint32()
    sums.ids[2 * count + 1] = cursor.uint32()
    sums.values[count] = readInt128(cursor)
  }
  return { count, ...sums, roots: [...rootOf.keys()], root }
}

/** The sums of the same rows with every digit, by place. */
export function readExactSums(bytes: Uint8Array, hasRoots: boolean): bigint[] {
  const cursor = new RowCursor(bytes)
  const sums: bigint[] = []
  while (!cursor.isDone) {
    if (hasRoots) cursor.skip(1)
    const at = cursor.at + 8
    sums.push((cursor.bytes.readBigInt64LE(at + 8) << 64n) + cursor.bytes.readBigUInt64LE(at))
    cursor.at += sumBytes
  }
  return sums
}

/** Functions by a frame of theirs, each once. */
export interface FunctionSums {
  count: number
  /** count x 2: halves of the frame's id. */
  ids: Uint32Array
  /** Rounded past 2^53. */
  self: Float64Array
  total: Float64Array
  /** Sum of self with every digit. */
  exactSelf: bigint
}

/** Rows of (frame_id UInt64, self Int128, total Int128). */
export function readFunctionSums(bytes: Uint8Array): FunctionSums {
  const rowBytes = 40
  if (bytes.length % rowBytes !== 0)
    throw new RangeError(`${bytes.length} bytes are not whole rows of ${rowBytes}`)
  const count = bytes.length / rowBytes
  const cursor = new RowCursor(bytes)
  const sums = {
    count,
    ids: new Uint32Array(2 * count),
    self: new Float64Array(count),
    total: new Float64Array(count),
    exactSelf: 0n,
  }
  for (let place = 0; place < count; place++) {
    const at = place * rowBytes + 8
    sums.exactSelf += (cursor.bytes.readBigInt64LE(at + 8) << 64n) + cursor.bytes.readBigUInt64LE(at)
    sums.ids[2 * place] = cursor.uint32()
    sums.ids[2 * place + 1] = cursor.uint32()
    sums.self[place] = readInt128(cursor)
    sums.total[place] = readInt128(cursor)
  }
  return sums
}

function readInt128(cursor: RowCursor): number {
  const { bytes, at } = cursor
  cursor.at += 16
  const low = bytes.readUInt32LE(at)
  const second = bytes.readUInt32LE(at + 4)
  const third = bytes.readUInt32LE(at + 8)
  const top = bytes.readInt32LE(at + 12)
  // Nearly all sums fit 53 bits; the rest is rounded once, by the conversion.
  if (third === 0 && top === 0 && second < 0x200000) return second * 4294967296 + low
  return Number((bytes.readBigInt64LE(at + 8) << 64n) + bytes.readBigUInt64LE(at))
}

/** Where stacks stand in an answer of (stack_id UInt64, frames Array(UInt64)). */
export function* readStackRows(
  bytes: Uint8Array,
): Generator<{ low: number; high: number; frames: Uint32Array }> {
  const cursor = new RowCursor(bytes)
  while (!cursor.isDone) {
    const low = cursor.uint32()
    const high = cursor.uint32()
    const { start, end } = cursor.skip(8)
    const frames = new Uint32Array((end - start) / 4)
    for (let half = 0; half < frames.length; half++)
      frames[half] = cursor.bytes.readUInt32LE(start + 4 * half)
    yield { low, high, frames }
  }
}
