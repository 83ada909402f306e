import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** What of a strobe.v1.WriteRequest decides whether it is to be decoded. */
export interface ScannedWrite {
  /** A view into the request. */
  batchId: Uint8Array
  /** Series of all bodies. */
  profiles: number
  /** Bytes of all bodies as they are packed. */
  bodyBytes: number
}

const batchIdField = 1
const bodiesField = 2
const pprofField = 1
const seriesField = 2

/**
 * Steps over labels and bodies and makes nothing of them: decoding the whole request costs the main thread more
 * than all else it does for it, and the thread that encodes the batch decodes it anyway.
 * Throws an Error when the bytes are no such message; what is stepped over may still be none.
 */
export function scanWrite(sent: Uint8Array): ScannedWrite {
  const reader = new BinaryReader(sent)
  const scanned: ScannedWrite = { batchId: new Uint8Array(0), profiles: 0, bodyBytes: 0 }
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field !== batchIdField && field !== bodiesField) reader.skip(wireType, field)
    else {
      const bytes = readBytes(reader, field, wireType)
      // As decoders do it: of a field that is sent twice the last one counts.
      if (field === batchIdField) scanned.batchId = bytes
      else scanBody(bytes, scanned)
    }
  }
  return scanned
}

function scanBody(body: Uint8Array, scanned: ScannedWrite): void {
  const reader = new BinaryReader(body)
  let pprofBytes = 0
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field !== pprofField && field !== seriesField) reader.skip(wireType, field)
    else {
      const { length } = readBytes(reader, field, wireType)
      if (field === pprofField) pprofBytes = length
      else scanned.profiles++
    }
  }
  scanned.bodyBytes += pprofBytes
}

function readBytes(reader: BinaryReader, field: number, wireType: WireType): Uint8Array {
  if (wireType !== WireType.LengthDelimited)
    throw new Error(`field ${field} has wire type ${wireType}, it must have ${WireType.LengthDelimited}`)
  return reader.bytes()
}
