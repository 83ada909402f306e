import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { CodedError } from '../errors.ts'
import { unpackBody } from './unpack.ts'

const text = Buffer.from('a profile'.repeat(5000))
const half = text.length / 2
const limit = 2 * text.length
const wideWindow = zstdCompressSync(Buffer.alloc(20 * 2 ** 20), {
  params: { [constants.ZSTD_c_windowLog]: 25 },
})
// The size of 4 GiB that a gzip's trailer claims must not be believed.
const lyingTrailer = gzipSync(text)
lyingTrailer.writeUInt32LE(0xffffffff, lyingTrailer.length - 4)

const whole: [name: string, body: Uint8Array][] = [
  ['no packing', text],
  ['gzip', gzipSync(text)],
  ['gzip of two members', Buffer.concat([gzipSync(text.subarray(0, half)), gzipSync(text.subarray(half))])],
  ['gzip with an empty member', Buffer.concat([gzipSync(text), gzipSync('')])],
  ['zstd', zstdCompressSync(text)],
  [
    'zstd of two frames',
    Buffer.concat([zstdCompressSync(text.subarray(0, half)), zstdCompressSync(text.subarray(half))]),
  ],
]
for (const [name, body] of whole) {
  test(`${name} unpacks to the body`, () => {
    expect(Buffer.from(unpackBody(body, limit)).equals(text)).toBe(true)
  })
  test(`${name} is refused when it passes the limit, or what is left of it`, () => {
    for (const used of [limit - text.length + 1, limit])
      expect(() => unpackBody(body, limit, used)).toThrow(
        expect.objectContaining({
          code: 'UNPACKED_TOO_LARGE',
          details: { limitName: 'unpacked_bytes', limit, observed: limit + 1 },
        }),
      )
    expect(unpackBody(body, limit, limit - text.length).length).toBe(text.length)
  })
}

const refused: [name: string, body: Uint8Array, code: string, cause?: string][] = [
  ['nothing', Buffer.alloc(0), 'PROFILE_EMPTY'],
  ['gzip of nothing', gzipSync(''), 'PROFILE_EMPTY'],
  ['zstd of nothing', zstdCompressSync(''), 'PROFILE_EMPTY'],
  ['gzip cut short', gzipSync(text).subarray(0, -9), 'PROFILE_MALFORMED', 'GZIP_TRUNCATED'],
  ['gzip with junk behind it', Buffer.concat([gzipSync(text), text]), 'PROFILE_MALFORMED', 'GZIP_DAMAGED'],
  ['gzip with a wrong size', lyingTrailer, 'PROFILE_MALFORMED', 'GZIP_DAMAGED'],
  ['zstd cut short', zstdCompressSync(text).subarray(0, -4), 'PROFILE_MALFORMED', 'ZSTD_TRUNCATED'],
  [
    'zstd with junk behind it',
    Buffer.concat([zstdCompressSync(text), text]),
    'PROFILE_MALFORMED',
    'ZSTD_DAMAGED',
  ],
  ['zstd that wants much memory', wideWindow, 'PROFILE_MALFORMED', 'ZSTD_DAMAGED'],
]
for (const [name, body, code, cause] of refused) {
  test(`${name} is refused`, () => {
    let error: CodedError | null = null
    try {
      unpackBody(body, 100 * 2 ** 20)
    } catch (caught) {
      error = caught as CodedError
    }
    expect([error?.code, error?.details.cause]).toEqual([code, cause])
  })
}
