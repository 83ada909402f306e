/**
 * Answers in ClickHouse's RowBinary: columns one after another, little-endian, arrays led by a varint
 * length. A 64-bit id is kept as the 8 characters of its bytes: as a key it is half as long as decimal text
 * and needs no arithmetic to make.
 */

/** Rows of (stack_id UInt64, value Int128). */
export function readStackSums(bytes: Buffer): { ids: string[]; weights: bigint[] } {
  const rowBytes = 24
  if (bytes.length % rowBytes !== 0)
    throw new RangeError(`${bytes.length} bytes are not whole rows of ${rowBytes}`)
  const ids: string[] = []
  const weights: bigint[] = []
  for (let at = 0; at < bytes.length; at += rowBytes) {
    ids.push(bytes.toString('latin1', at, at + 8))
    weights.push(bytes.readBigUInt64LE(at + 8) + (bytes.readBigInt64LE(at + 16) << 64n))
  }
  return { ids, weights }
}

/** Rows of (stack_id UInt64, frames Array(UInt64)). */
export function* readStackRows(bytes: Buffer): Generator<[id: string, frameIds: string[]]> {
  let at = 0
  while (at < bytes.length) {
    const id = bytes.toString('latin1', at, at + 8)
    at += 8
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.readUInt8(at++)
      length += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    if (at + length * 8 > bytes.length)
      throw new RangeError(`a stack of ${length} frames ends after the answer`)
    const frameIds = new Array<string>(length)
    for (let frame = 0; frame < length; frame++, at += 8)
      frameIds[frame] = bytes.toString('latin1', at, at + 8)
    yield [id, frameIds]
  }
}

/** Decimal text of an id, for SQL. */
export function idText(id: string): string {
  return Buffer.from(id, 'latin1').readBigUInt64LE().toString()
}

export function idOfText(text: string): string {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64LE(BigInt(text))
  return bytes.toString('latin1', 0, 8)
}
