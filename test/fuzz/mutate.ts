import type { WireField } from './wire-tree.ts'

/** A whole number from 0 to below - 1. */
export type Pick = (below: number) => number

const interestingBytes = [0, 1, 0x7f, 0x80, 0xff, 8, 10, 18, 26, 34]
const interestingNumbers = [
  0n,
  1n,
  2n,
  127n,
  128n,
  65_535n,
  1_000_000n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
]

const one = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!

/** Bytes overwritten, flipped, cut off, repeated elsewhere. */
export function mutateBytes(input: Uint8Array, pick: Pick): Uint8Array {
  let bytes = Uint8Array.from(input)
  for (let edits = 1 + pick(4); edits > 0 && bytes.length > 0; edits--) {
    const at = pick(bytes.length)
    const kind = pick(8)
    if (kind < 3) bytes[at] = one(pick, interestingBytes)
    else if (kind < 6) bytes[at]! ^= 1 << pick(8)
    else if (kind === 6) bytes = bytes.slice(0, at + 1)
    else {
      const piece = bytes.slice(at, at + 1 + pick(64))
      const to = pick(bytes.length)
      bytes = Uint8Array.from([...bytes.subarray(0, to), ...piece, ...bytes.subarray(to)])
    }
  }
  return bytes
}

/** Fields of a message changed in place: numbers, order, presence, lengths, encodings. */
export function mutateTree(fields: WireField[], pick: Pick): void {
  for (let edits = 1 + pick(3); edits > 0; edits--) mutateOnce(fields, pick)
}

function mutateOnce(root: WireField[], pick: Pick): void {
  // Down to a random depth: the lists near the root are what most rules are about.
  let list = root
  for (;;) {
    const inner = list.filter(each => Array.isArray(each.value) && each.value.length > 0)
    if (inner.length === 0 || pick(4) === 0) break
    list = one(pick, inner).value as WireField[]
  }
  if (list.length === 0) return
  const at = pick(list.length)
  const target = list[at]!
  switch (pick(11)) {
    case 0:
      list.splice(at, 1)
      break
    case 1:
      list.splice(pick(list.length), 0, structuredClone(target))
      break
    case 2: {
      const other = pick(list.length)
      list[at] = list[other]!
      list[other] = target
      break
    }
    case 3:
      target.overlong = 1 + pick(10)
      break
    case 4:
      target.lengthLie = one(pick, [-2, -1, 1, 2, 127, 1_000_000, 2 ** 31, 2 ** 32, 2 ** 53])
      break
    case 5:
      target.field = one(pick, [0, 1, 2, 3, 4, 5, 6, 9, 14, 15, 100, 2 ** 29 - 1])
      break
    case 6:
      target.wire = one(pick, [0, 1, 2, 5])
      if (target.wire === 0 && typeof target.value !== 'bigint') target.value = BigInt(pick(1000))
      break
    case 7: {
      // A packed list of the same numbers, or numbers out of a packed list.
      if (typeof target.value === 'bigint') {
        target.wire = 2
        target.value = Uint8Array.of(pick(128), pick(128), pick(128))
      }
      break
    }
    default:
      if (typeof target.value === 'bigint')
        target.value = pick(2) === 0 ? one(pick, interestingNumbers) : target.value + BigInt(pick(7) - 3)
      else if (target.value instanceof Uint8Array && target.value.length > 0)
        target.value = mutateBytes(target.value, pick)
  }
}

/** Text with pieces of itself and of `tokens` put in, taken out and repeated. */
export function mutateText(input: string, tokens: readonly string[], pick: Pick): string {
  let text = input
  for (let edits = 1 + pick(5); edits > 0; edits--) {
    const at = pick(text.length + 1)
    const kind = pick(7)
    if (kind < 2) text = text.slice(0, at) + one(pick, tokens) + text.slice(at)
    else if (kind === 2) text = text.slice(0, at) + text.slice(at + 1 + pick(8))
    else if (kind === 3) text = text.slice(0, at) + one(pick, tokens) + text.slice(at + 1 + pick(3))
    else if (kind === 4) {
      const piece = text.slice(at, at + 1 + pick(40))
      text = text.slice(0, at) + piece.repeat(1 + pick(20)) + text.slice(at)
    } else if (kind === 5) text = text.slice(0, at)
    else text = text.slice(0, at) + String.fromCharCode(pick(0x10000)) + text.slice(at + 1)
  }
  return text
}

/** A value of parsed JSON with one part replaced, removed, repeated or nested. */
export function mutateJson(value: unknown, pick: Pick): unknown {
  const strange: unknown[] = [
    null,
    true,
    -1,
    0,
    0.5,
    1e308,
    2 ** 53,
    '',
    'x',
    '__proto__',
    [],
    {},
    [[]],
    { length: 5 },
  ]
  if (typeof value !== 'object' || value === null || pick(6) === 0) return one(pick, strange)
  if (Array.isArray(value)) {
    const list = [...value]
    const at = pick(list.length + 1)
    const kind = pick(5)
    if (kind === 0) list.splice(at, 1)
    else if (kind === 1) list.splice(at, 0, list[pick(list.length)] ?? one(pick, strange))
    else if (list.length > 0) {
      const target = pick(list.length)
      list[target] = mutateJson(list[target], pick)
    }
    return list
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return one(pick, strange)
  const target = pick(entries.length)
  const kind = pick(5)
  if (kind === 0) entries.splice(target, 1)
  else entries[target] = [entries[target]![0], mutateJson(entries[target]![1], pick)]
  return Object.fromEntries(entries)
}
