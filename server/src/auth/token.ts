import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

export interface NewToken {
  /** Public: names the key in lists and logs. */
  id: string
  /** Shown once. */
  token: string
  /** What is kept, hex. */
  hash: string
}

const pattern = /^strobe_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/

/** A key of 256 random bits: long enough that a plain hash of it needs no salt and no stretching. */
export function createToken(): NewToken {
  const id = randomBytes(6).toString('hex')
  const token = `strobe_${id}_${randomBytes(32).toString('base64url')}`
  return { id, token, hash: hashToken(token) }
}

export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** The public part; null when the text is no token of ours. */
export function readTokenId(token: string): string | null {
  return pattern.exec(token)?.[1] ?? null
}

/** hash: hex. Takes the same time wherever they differ. */
export function isTokenOf(token: string, hash: string): boolean {
  const expected = Buffer.from(hash, 'hex')
  const given = createHash('sha256').update(token).digest()
  return expected.length === given.length && timingSafeEqual(expected, given)
}
