import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { decodePprof, type Profile, parseFolded, parseSpeedscope } from '@strobe/profile'
import { CliError } from '../command.ts'

const maxUnpackedBytes = 1 << 30

/** A file of profiles: pprof (bare, gzip or zstd), folded stacks or speedscope, told by its content. */
export async function readProfileFile(path: string): Promise<Profile[]> {
  let sent: Buffer
  try {
    sent = await readFile(path)
  } catch (error) {
    throw new CliError(`${path}: ${(error as Error).message}`, 1, { cause: error })
  }
  try {
    const bytes = unpack(sent)
    if (looksLikeJson(bytes)) return parseSpeedscope(bytes.toString()).map(({ profile }) => profile)
    return [looksLikeText(bytes) ? parseFolded(bytes).profile : decodePprof(bytes)]
  } catch (error) {
    throw new CliError(`${basename(path)} is no profile that can be read: ${String(error)}`, 1, {
      cause: error,
    })
  }
}

function unpack(bytes: Buffer): Buffer {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes, { maxOutputLength: maxUnpackedBytes })
  if (bytes.length >= 4 && bytes.readUInt32LE(0) === 0xfd2fb528)
    return zstdDecompressSync(bytes, { maxOutputLength: maxUnpackedBytes })
  return bytes
}

function looksLikeJson(bytes: Buffer): boolean {
  return bytes.subarray(0, 64).toString('latin1').trimStart().startsWith('{')
}

/** pprof starts with a field of raw bytes and holds zero bytes early; folded stacks are lines that end in a count. */
function looksLikeText(bytes: Buffer): boolean {
  const start = bytes.subarray(0, 4096)
  return !start.includes(0) && /[^\n] -?\d+(\.\d+)?\r?(\n|$)/.test(start.toString('latin1'))
}
