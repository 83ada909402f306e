import { profileError } from '../errors.ts'

/** Protobuf wire types. Groups (3, 4) are refused: no pprof writer ever made them. */
export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2
export const FIXED32 = 5

/**
 * Reads protobuf's wire format. `position` moves; `end` is where the innermost open message ends and no
 * read passes it. After `long()` the exact 64 bits stand in `low` and `high` (unsigned 32-bit halves).
 */
export class WireReader {
  readonly bytes: Uint8Array
  position = 0
  end: number
  low = 0
  high = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.end = bytes.length
  }

  /** An unsigned number, exact below 2^53; above it `low` and `high` hold what a double cannot. */
  uint(): number {
    const bytes = this.bytes
    const start = this.position
    if (start + 4 <= this.end) {
      let byte = bytes[start]!
      let value = byte & 0x7f
      if (byte < 0x80) {
        this.position = start + 1
        return value
      }
      byte = bytes[start + 1]!
      value |= (byte & 0x7f) << 7
      if (byte < 0x80) {
        this.position = start + 2
        return value
      }
      byte = bytes[start + 2]!
      value |= (byte & 0x7f) << 14
      if (byte < 0x80) {
        this.position = start + 3
        return value
      }
      byte = bytes[start + 3]!
      value |= (byte & 0x7f) << 21
      if (byte < 0x80) {
        this.position = start + 4
        return value
      }
    }
    this.long()
    return this.high * 4294967296 + this.low
  }

  /** As long(), quicker for what takes up to four bytes, as nearly all values and addresses do. */
  halves(): void {
    const value = this.uint()
    if (value > 0xfffffff) return
    this.low = value
    this.high = 0
  }

  /** Reads up to ten bytes into `low` and `high`; bits past the 64th are dropped, as Go's reader does. */
  long(): void {
    const bytes = this.bytes
    const start = this.position
    let low = 0
    let high = 0
    for (let i = 0; i < 10; i++) {
      const at = start + i
      if (at >= this.end) throw truncated('a number', at, this.end)
      const byte = bytes[at]!
      const part = byte & 0x7f
      if (i < 4) low |= part << (7 * i)
      else if (i === 4) {
        low |= part << 28
        high = part >>> 4
      } else high |= part << (7 * i - 32)
      if (byte < 0x80) {
        this.position = at + 1
        this.low = low >>> 0
        this.high = high >>> 0
        return
      }
    }
    throw profileError('PPROF_VARINT', `the number at byte ${start} takes more than 10 bytes`, {
      offset: start,
    })
  }

  /** A length, checked against what is left of the open message; returns where the field ends. */
  fieldEnd(): number {
    const length = this.uint()
    const end = this.position + length
    if (!(end <= this.end)) {
      throw profileError(
        'PPROF_TRUNCATED',
        `the field at byte ${this.position} is ${length} bytes long and ${this.end - this.position} are left`,
        { offset: this.position, length, left: this.end - this.position },
      )
    }
    return end
  }

  skip(wireType: number): void {
    if (wireType === VARINT) this.long()
    else if (wireType === BYTES) this.position = this.fieldEnd()
    else if (wireType === FIXED64) this.advance(8)
    else if (wireType === FIXED32) this.advance(4)
    else {
      throw profileError(
        'PPROF_WIRE_TYPE',
        `wire type ${wireType} at byte ${this.position} is not one of pprof's`,
        {
          offset: this.position,
          wireType,
        },
      )
    }
  }

  private advance(length: number): void {
    if (this.position + length > this.end) throw truncated('a fixed field', this.position, this.end)
    this.position += length
  }
}

function truncated(what: string, offset: number, end: number): Error {
  return profileError('PPROF_TRUNCATED', `${what} at byte ${offset} passes the end at byte ${end}`, {
    offset,
    end,
  })
}
