import { constants, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { CodedError } from '../errors.ts'

const minChunkBytes = 16_384
// deflate makes at most 1,032 bytes of one.
const maxDeflateRatio = 1_032

interface Packing {
  name: string
  unpack(bytes: Uint8Array, chunkSize: number, maxOutputLength: number): Uint8Array
  /** Bytes it likely unpacks to: a chunk of that size is the whole answer, and nothing is copied. */
  expect(bytes: Uint8Array): number
  /** Code of details.cause when the body ends early, and when it is damaged. */
  truncated: string
  damaged: string
}

const gzip: Packing = {
  name: 'gzip',
  unpack: (bytes, chunkSize, maxOutputLength) => gunzipSync(bytes, { chunkSize, maxOutputLength }),
  expect(bytes) {
    // The last member's size, modulo 2^32: right for nearly every body, and no more than a hint.
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = bytes.length < 18 ? 0 : view.getUint32(bytes.length - 4, true)
    return size > maxDeflateRatio * bytes.length ? 0 : size
  },
  truncated: 'GZIP_TRUNCATED',
  damaged: 'GZIP_DAMAGED',
}

const zstd: Packing = {
  name: 'zstd',
  unpack: unpackFrames,
  expect: bytes => 4 * bytes.length,
  truncated: 'ZSTD_TRUNCATED',
  damaged: 'ZSTD_DAMAGED',
}

/** Node's zstd ends after the first frame and says nothing of what follows. */
function unpackFrames(bytes: Uint8Array, chunkSize: number, maxOutputLength: number): Uint8Array {
  const frames: Uint8Array[] = []
  let unpackedBytes = 0
  for (let at = 0; at < bytes.length; ) {
    if (unpackedBytes >= maxOutputLength) throw Object.assign(new Error(), { code: 'ERR_BUFFER_TOO_LARGE' })
    const { buffer, engine } = zstdDecompressSync(bytes.subarray(at), {
      chunkSize,
      maxOutputLength: maxOutputLength - unpackedBytes,
      // A frame may ask for a window of 2 GiB; those of the usual levels stay under 8 MiB.
      params: { [constants.ZSTD_d_windowLogMax]: 23 },
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    if (engine.bytesWritten === 0) throw new Error(`what follows byte ${at} is no frame`)
    at += engine.bytesWritten
    unpackedBytes += buffer.length
    frames.push(buffer)
  }
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames)
}

function packingOf(bytes: Uint8Array): Packing | null {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gzip
  if (bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd) return zstd
  return null
}

/**
 * A profile body without its gzip or zstd, if it has one; several gzip members or zstd frames are one body.
 * Takes its time on the calling thread. Without a packing the answer is `bytes`.
 * usedBytes: what other bodies of the same request unpacked to; the limit is for all of them.
 * Throws UNPACKED_TOO_LARGE before more than limitBytes are unpacked, PROFILE_MALFORMED when the packing is
 * broken or cut short, PROFILE_EMPTY.
 */
export function unpackBody(bytes: Uint8Array, limitBytes: number, usedBytes = 0): Uint8Array {
  const leftBytes = limitBytes - usedBytes
  if (bytes.length === 0) throw new CodedError('PROFILE_EMPTY', 'the body is empty; send a pprof profile')
  if (leftBytes <= 0) throw tooLarge(limitBytes)
  const packing = packingOf(bytes)
  if (packing === null) {
    if (bytes.length > leftBytes) throw tooLarge(limitBytes)
    return bytes
  }
  let unpacked: Uint8Array
  try {
    const expected = Math.min(packing.expect(bytes), leftBytes)
    unpacked = packing.unpack(bytes, Math.max(minChunkBytes, expected + 64), leftBytes)
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string }
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limitBytes)
    const isShort = code === 'Z_BUF_ERROR'
    throw new CodedError(
      'PROFILE_MALFORMED',
      isShort
        ? `the ${packing.name} data ends early after ${bytes.length} bytes; the file was cut short`
        : `the ${packing.name} data is damaged: ${message}`,
      { cause: isShort ? packing.truncated : packing.damaged },
      { cause },
    )
  }
  if (unpacked.length === 0) {
    throw new CodedError('PROFILE_EMPTY', `the ${packing.name} data unpacks to nothing; send a pprof profile`)
  }
  return unpacked
}

function tooLarge(limitBytes: number): CodedError {
  return new CodedError(
    'UNPACKED_TOO_LARGE',
    `the body unpacks to more than ${limitBytes} bytes, the limit (STROBE_MAX_UNPACKED_BYTES); send shorter profiles or raise it`,
    // Unpacking stops there: it is more, by how much nobody knows.
    { limitName: 'unpacked_bytes', limit: limitBytes, observed: limitBytes + 1 },
  )
}
