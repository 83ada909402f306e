import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { CodedError } from '../errors.ts'

const gunzipAsync = promisify(gunzip)

/**
 * A profile body without its gzip, if it has one; several gzip members are one body. Leaves the event loop.
 * usedBytes: what other bodies of the same request unpacked to; the limit is for all of them.
 * Throws UNPACKED_TOO_LARGE before more than limitBytes are unpacked, PROFILE_MALFORMED when the gzip is
 * broken or cut short, PROFILE_EMPTY.
 */
export async function unpackBody(bytes: Uint8Array, limitBytes: number, usedBytes = 0): Promise<Uint8Array> {
  const leftBytes = limitBytes - usedBytes
  if (bytes.length === 0) throw new CodedError('PROFILE_EMPTY', 'the body is empty; send a pprof profile')
  if (leftBytes <= 0) throw tooLarge(limitBytes)
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    if (bytes.length > leftBytes) throw tooLarge(limitBytes)
    return bytes
  }
  let unpacked: Uint8Array
  try {
    unpacked = await gunzipAsync(bytes, { maxOutputLength: leftBytes })
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string }
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limitBytes)
    throw new CodedError(
      'PROFILE_MALFORMED',
      code === 'Z_BUF_ERROR'
        ? `the gzip data ends early after ${bytes.length} bytes; the file was cut short`
        : `the gzip data is damaged: ${message}`,
      { cause: code === 'Z_BUF_ERROR' ? 'GZIP_TRUNCATED' : 'GZIP_DAMAGED' },
      { cause },
    )
  }
  if (unpacked.length === 0) {
    throw new CodedError('PROFILE_EMPTY', 'the gzip data unpacks to nothing; send a pprof profile')
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
