/**
 * Content identities: 64 bits of MurmurHash3 x86_128 (the first two words, low word first, seed 0) over
 * a kind byte and fields. Text is its UTF-8 length as 4 bytes and its bytes, a number 4 or 8 bytes, all
 * little-endian, so that no two field lists share an encoding. Equal content has one id on every host and
 * server; 0n means "none" and is never a hash. The rule's version is stored beside the ids: changing
 * anything here without raising it orphans stored rows.
 */
export const IDENTITY_RULE_VERSION = 1

/** Labels that keep apart the groups of a service's instances; all others are summed over in a group. */
export const DEFAULT_GROUP_LABELS: readonly string[] = [
  'service_name',
  'service_version',
  'deployment_environment',
  'service_namespace',
  'cloud_region',
  'container_name',
  'machine_class',
]

export interface Label {
  name: string
  value: string
}

/** A sample label; `unit` is null for text, and a numeric label's unit ('' when it has none) otherwise. */
export interface SampleLabel extends Label {
  unit: string | null
}

const KIND_FUNCTION = 1
const KIND_NAMED_FRAME = 2
const KIND_ADDRESS_IN_BUILD = 3
const KIND_ADDRESS_IN_MODULE = 4
const KIND_STACK = 5
const KIND_FUNCTION_STACK = 6
const KIND_SERIES = 7
const KIND_GROUP = 8
const KIND_LABELSET = 9

/** Line, build and address are left out on purpose: they change with every deploy. */
export function functionId(
  name: string,
  systemName: string,
  file: string,
  startLine: number,
  moduleBaseName: string,
): bigint {
  return new IdentityHasher().functionId(name, systemName, file, startLine, moduleBaseName).id()
}

/** The id of a frame that has a name. buildId '' when unknown. */
export function namedFrameId(functionId: bigint, line: number, buildId: string): bigint {
  return new IdentityHasher().namedFrameId(low(functionId), high(functionId), line, buildId).id()
}

/**
 * The id of a frame known by address only; it stays when a name arrives. address: relative to the file
 * (address - mapping start + mapping offset). The module's base name stands in for a missing build id.
 */
export function unnamedFrameId(buildId: string, moduleBaseName: string, address: bigint): bigint {
  return new IdentityHasher().unnamedFrameId(buildId, moduleBaseName, low(address), high(address)).id()
}

/** frameIds: leaf first. 0n for the empty stack. */
export function stackId(frameIds: BigUint64Array): bigint {
  return new IdentityHasher().stackId(frameIds, false).id()
}

/** functionIds of the same frames, leaf first. 0n for the empty stack. */
export function functionStackId(functionIds: BigUint64Array): bigint {
  return new IdentityHasher().stackId(functionIds, true).id()
}

/** All labels in any order, and the profile type's id. Names must be unique. */
export function seriesId(labels: readonly Label[], profileTypeId: string): bigint {
  return new IdentityHasher().labels(KIND_SERIES, labels, profileTypeId).id()
}

/** The id of what is left of `labels` under the allow-list. */
export function groupId(labels: readonly Label[], allowed: readonly string[] = DEFAULT_GROUP_LABELS): bigint {
  return new IdentityHasher()
    .labels(
      KIND_GROUP,
      labels.filter(label => allowed.includes(label.name)),
      '',
    )
    .id()
}

/** The id of a sample's labels in any order; 0n without labels. */
export function labelsetId(labels: readonly SampleLabel[]): bigint {
  return new IdentityHasher().labelset(labels).id()
}

/**
 * The hash with its buffer, for loops: each method replaces the result, which stands in `low` and `high`
 * as unsigned halves. Words are read as the machine stores them: little-endian hosts only.
 */
export class IdentityHasher {
  low = 0
  high = 0
  #bytes = new Uint8Array(4096)
  #words = new Int32Array(this.#bytes.buffer)
  #length = 0
  readonly #encoder = new TextEncoder()

  id(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low)
  }

  functionId(
    name: string,
    systemName: string,
    file: string,
    startLine: number,
    moduleBaseName: string,
  ): this {
    this.#begin(KIND_FUNCTION)
    this.#text(name)
    this.#text(systemName)
    this.#text(file)
    this.#word(startLine)
    this.#text(moduleBaseName)
    return this.#finish()
  }

  namedFrameId(functionLow: number, functionHigh: number, line: number, buildId: string): this {
    this.#begin(KIND_NAMED_FRAME)
    this.#word(functionLow)
    this.#word(functionHigh)
    this.#word(line)
    this.#text(buildId)
    return this.#finish()
  }

  unnamedFrameId(buildId: string, moduleBaseName: string, addressLow: number, addressHigh: number): this {
    this.#begin(buildId === '' ? KIND_ADDRESS_IN_MODULE : KIND_ADDRESS_IN_BUILD)
    this.#text(buildId === '' ? moduleBaseName : buildId)
    this.#word(addressLow)
    this.#word(addressHigh)
    return this.#finish()
  }

  stackId(ids: BigUint64Array, isOfFunctions: boolean): this {
    const halves = new Uint32Array(ids.buffer, ids.byteOffset, 2 * ids.length)
    this.beginStack(isOfFunctions)
    for (let i = 0; i < halves.length; i += 2) this.addToStack(halves[i]!, halves[i + 1]!)
    return this.finishStack()
  }

  beginStack(isOfFunctions: boolean): void {
    this.#begin(isOfFunctions ? KIND_FUNCTION_STACK : KIND_STACK)
  }

  addToStack(low: number, high: number): void {
    this.#word(low)
    this.#word(high)
  }

  finishStack(): this {
    return this.#length === 1 ? this.#none() : this.#finish()
  }

  labelset(labels: readonly SampleLabel[]): this {
    if (labels.length === 0) return this.#none()
    this.#begin(KIND_LABELSET)
    this.#word(labels.length)
    for (const label of [...labels].sort(byNameAndValue)) {
      this.#text(label.name)
      this.#text(label.value)
      this.#word(label.unit === null ? 0 : 1)
      this.#text(label.unit ?? '')
    }
    return this.#finish()
  }

  labels(kind: number, labels: readonly Label[], profileTypeId: string): this {
    this.#begin(kind)
    this.#text(profileTypeId)
    this.#word(labels.length)
    for (const label of [...labels].sort(byNameAndValue)) {
      this.#text(label.name)
      this.#text(label.value)
    }
    return this.#finish()
  }

  #begin(kind: number): void {
    this.#bytes[0] = kind
    this.#length = 1
  }

  #word(value: number): void {
    if (this.#length + 4 > this.#bytes.length) this.#grow(4)
    const bytes = this.#bytes
    const at = this.#length
    bytes[at] = value
    bytes[at + 1] = value >>> 8
    bytes[at + 2] = value >>> 16
    bytes[at + 3] = value >>> 24
    this.#length = at + 4
  }

  #text(text: string): void {
    const mark = this.#length
    if (mark + 4 + 3 * text.length > this.#bytes.length) this.#grow(4 + 3 * text.length)
    const bytes = this.#bytes
    let at = mark + 4
    let i = 0
    for (; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit >= 0x80) break
      bytes[at++] = unit
    }
    if (i < text.length) at += this.#encoder.encodeInto(text.slice(i), bytes.subarray(at)).written
    this.#word(at - mark - 4)
    this.#length = at
  }

  #grow(length: number): void {
    const size = 2 ** Math.ceil(Math.log2(this.#length + length))
    const bytes = new Uint8Array(Math.max(2 * this.#bytes.length, size))
    bytes.set(this.#bytes)
    this.#bytes = bytes
    this.#words = new Int32Array(bytes.buffer)
  }

  #none(): this {
    this.low = 0
    this.high = 0
    return this
  }

  #finish(): this {
    const digest = murmur3(this.#bytes, this.#words, this.#length, 0)
    this.low = digest.h1
    this.high = digest.h2
    if (this.low === 0 && this.high === 0) this.low = 1
    return this
  }
}

/** The four unsigned words of MurmurHash3 x86_128 (Austin Appleby, public domain). */
export function murmur3x86x128(bytes: Uint8Array, seed: number): [number, number, number, number] {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  padded.set(bytes)
  const { h1, h2, h3, h4 } = murmur3(padded, new Int32Array(padded.buffer), bytes.length, seed)
  return [h1, h2, h3, h4]
}

const C1 = 0x239b961b
const C2 = 0xab0e9789 | 0
const C3 = 0x38b34ae5
const C4 = 0xa1e38b93 | 0

/** words: the same memory as bytes. */
function murmur3(
  bytes: Uint8Array,
  words: Int32Array,
  length: number,
  seed: number,
): { h1: number; h2: number; h3: number; h4: number } {
  let h1 = seed | 0
  let h2 = seed | 0
  let h3 = seed | 0
  let h4 = seed | 0
  const blockWords = (length >>> 4) << 2
  for (let i = 0; i < blockWords; i += 4) {
    let k = Math.imul(words[i]!, C1)
    h1 ^= Math.imul((k << 15) | (k >>> 17), C2)
    h1 = (Math.imul(((h1 << 19) | (h1 >>> 13)) + h2, 5) + 0x561ccd1b) | 0
    k = Math.imul(words[i + 1]!, C2)
    h2 ^= Math.imul((k << 16) | (k >>> 16), C3)
    h2 = (Math.imul(((h2 << 17) | (h2 >>> 15)) + h3, 5) + 0x0bcaa747) | 0
    k = Math.imul(words[i + 2]!, C3)
    h3 ^= Math.imul((k << 17) | (k >>> 15), C4)
    h3 = (Math.imul(((h3 << 15) | (h3 >>> 17)) + h4, 5) + 0x96cd1c35) | 0
    k = Math.imul(words[i + 3]!, C4)
    h4 ^= Math.imul((k << 18) | (k >>> 14), C1)
    h4 = (Math.imul(((h4 << 13) | (h4 >>> 19)) + h1, 5) + 0x32ac3b17) | 0
  }
  const tail = blockWords * 4
  const rest = length & 15
  if (rest > 12) {
    const k = Math.imul(tailWord(bytes, tail + 12, rest - 12), C4)
    h4 ^= Math.imul((k << 18) | (k >>> 14), C1)
  }
  if (rest > 8) {
    const k = Math.imul(tailWord(bytes, tail + 8, rest - 8), C3)
    h3 ^= Math.imul((k << 17) | (k >>> 15), C4)
  }
  if (rest > 4) {
    const k = Math.imul(tailWord(bytes, tail + 4, rest - 4), C2)
    h2 ^= Math.imul((k << 16) | (k >>> 16), C3)
  }
  if (rest > 0) {
    const k = Math.imul(tailWord(bytes, tail, rest), C1)
    h1 ^= Math.imul((k << 15) | (k >>> 17), C2)
  }
  h1 ^= length
  h2 ^= length
  h3 ^= length
  h4 ^= length
  h1 = (h1 + h2 + h3 + h4) | 0
  h2 = (h2 + h1) | 0
  h3 = (h3 + h1) | 0
  h4 = (h4 + h1) | 0
  h1 = finalMix(h1)
  h2 = finalMix(h2)
  h3 = finalMix(h3)
  h4 = finalMix(h4)
  h1 = (h1 + h2 + h3 + h4) | 0
  h2 = (h2 + h1) | 0
  h3 = (h3 + h1) | 0
  h4 = (h4 + h1) | 0
  return { h1: h1 >>> 0, h2: h2 >>> 0, h3: h3 >>> 0, h4: h4 >>> 0 }
}

function tailWord(bytes: Uint8Array, at: number, available: number): number {
  let word = bytes[at]!
  if (available > 1) word |= bytes[at + 1]! << 8
  if (available > 2) word |= bytes[at + 2]! << 16
  if (available > 3) word |= bytes[at + 3]! << 24
  return word
}

function finalMix(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** By UTF-16 code units, as JavaScript compares text: fixed on every machine and locale. */
function byNameAndValue(a: Label, b: Label): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0
}

function low(id: bigint): number {
  return Number(id & 0xffffffffn)
}

function high(id: bigint): number {
  return Number(id >> 32n)
}
