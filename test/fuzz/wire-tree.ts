/** A protobuf message as a tree of fields that can be written again, whole or with lies. */
export interface WireField {
  field: number
  wire: 0 | 1 | 2 | 5
  /** varint | fixed or bytes | a message that the schema names. */
  value: bigint | Uint8Array | WireField[]
  /** Useless bytes appended to the varint of the value or length. */
  overlong?: number
  /** Added to the length that is written. */
  lengthLie?: number
}

/** Which length-delimited fields are messages, and theirs. */
export interface WireSchema {
  [field: number]: WireSchema
}

export const pprofSchema: WireSchema = { 1: {}, 2: { 3: {} }, 3: {}, 4: { 4: {} }, 5: {}, 11: {} }

/** bytes must be a valid message. */
export function parseWire(bytes: Uint8Array, schema: WireSchema): WireField[] {
  const fields: WireField[] = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const field = tag >>> 3
    const wire = (tag & 7) as WireField['wire']
    if (wire === 0) fields.push({ field, wire, value: varint() })
    else {
      const length = wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4
      const part = bytes.slice(at, at + length)
      at += length
      const inner = wire === 2 ? schema[field] : undefined
      fields.push({ field, wire, value: inner ? parseWire(part, inner) : part })
    }
  }
  return fields
}

export function encodeWire(fields: readonly WireField[]): Uint8Array {
  return Buffer.concat(fields.flatMap(encodeField))
}

function encodeField({ field, wire, value, overlong = 0, lengthLie = 0 }: WireField): Uint8Array[] {
  const tag = varintBytes(BigInt(field) * 8n + BigInt(wire), 0)
  if (typeof value === 'bigint') return [tag, varintBytes(value, overlong)]
  const content = Array.isArray(value) ? encodeWire(value) : value
  if (wire !== 2) return [tag, content]
  return [tag, varintBytes(BigInt(Math.max(0, content.length + lengthLie)), overlong), content]
}

/** The low 64 bits, as a varint with `overlong` bytes more than it needs. */
function varintBytes(value: bigint, overlong: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  do {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  } while (rest > 0n)
  for (let extra = 0; extra < overlong; extra++) bytes.push(0x80)
  bytes[bytes.length - 1]! &= 0x7f
  return Uint8Array.from(bytes)
}
