/**
 * A path in a call tree as one number: 53 bits, enough for the paths of one tree to stay apart, and the same
 * for the same names in every later answer. Links keep it, and `at` of a flame graph takes it, whatever the
 * depth. 0 is the root's.
 */
export type PathHash = number

/** The hash of a frame alone: a path is what its frames are called and where they come from. */
export function hashFrame(frame: { name: string; module: string }): number {
  return hash53(`${frame.name}\0${frame.module}`)
}

/** The path one frame longer. frame: of hashFrame. */
export function extendPath(path: PathHash, frame: number): PathHash {
  return mix(
    0xdeadbeef ^ Math.imul(path >>> 0, 2654435761) ^ Math.imul((frame / 4294967296) >>> 0, 2246822519),
    0x41c6ce57 ^ Math.imul(frame >>> 0, 1597334677) ^ Math.imul((path / 4294967296) >>> 0, 3266489917),
  )
}

/** `~` and letters and digits, which no JSON text begins with; '' for the root. */
export function formatPath(path: PathHash): string {
  return path === 0 ? '' : `~${path.toString(36)}`
}

/** null when the text is not one that formatPath writes. */
export function parsePath(text: string): PathHash | null {
  if (text === '') return 0
  const path = /^~[0-9a-z]{1,11}$/.test(text) ? Number.parseInt(text.slice(1), 36) : -1
  return path > 0 && path <= Number.MAX_SAFE_INTEGER ? path : null
}

// cyrb53 by bryc, public domain.
function hash53(text: string): number {
  let high = 0xdeadbeef
  let low = 0x41c6ce57
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    high = Math.imul(high ^ code, 2654435761)
    low = Math.imul(low ^ code, 1597334677)
  }
  return mix(high, low)
}

function mix(high: number, low: number): number {
  const first = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  const second = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(first ^ (first >>> 13), 3266489909)
  return 4294967296 * (2097151 & second) + (first >>> 0)
}
