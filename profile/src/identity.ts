/**
 * Content identities: 64 bits of MurmurHash3 x86_128 (the first two words, low word first, seed 0) over
 * little-endian 32-bit words: a word that tells the kind, then the fields. A number is one word or, low
 * first, two. Text is a word with its length in UTF-8 bytes and the bytes, padded with zeros to a word; in
 * functions and named frames it is the two words of its own hash, so that a text is read once however many
 * functions share it. No two field lists share an encoding.
 * Equal content has one id on every host and server; 0n means "none" and is never a hash. The rule's
 * version is stored beside the ids: changing anything here without raising it orphans stored rows.
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
const KIND_TEXT = 10

/** Line, build and address are left out on purpose: they change with every deploy. */
export function functionId(
  name: string,
  systemName: string,
  file: string,
  startLine: number,
  moduleBaseName: string,
): bigint {
  const hasher = new IdentityHasher()
  const texts = new Uint32Array(8)
  for (const [i, text] of [name, systemName, file, moduleBaseName].entries())
    hasher.text(text).store(texts, i)
  return hasher.functionId(texts, 0, 0, startLine, texts[6]!, texts[7]!).id()
}

/** The id of a frame that has a name. buildId '' when unknown. */
export function namedFrameId(functionId: bigint, line: number, buildId: string): bigint {
  const hasher = new IdentityHasher().text(buildId)
  return hasher.namedFrameId(low(functionId), high(functionId), line, hasher.low, hasher.high).id()
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
  #words = new Int32Array(1024)
  /** Words filled. */
  #length = 0
  readonly #murmur = new Murmur3()
  readonly #encoder = new TextEncoder()

  id(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low)
  }

  /** Puts the result at entry `index` of ids kept as halves, low first. */
  store(halves: Uint32Array, index: number): void {
    halves[2 * index] = this.low
    halves[2 * index + 1] = this.high
  }

  /** The hash of a text, as functions and named frames hold it. */
  text(text: string): this {
    this.#begin(KIND_TEXT)
    this.#text(text)
    return this.#finish()
  }

  /** text() of bytes that are ASCII; false, and no result, when they are not. */
  asciiText(bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start
    const needed = 2 + ((length + 3) >>> 2)
    if (needed > this.#words.length) this.#grow(needed)
    const words = this.#words
    words[0] = KIND_TEXT
    words[1] = length
    let to = 2
    let at = start
    let seen = 0
    for (const last = end - 3; at < last; at += 4) {
      const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      seen |= word
      words[to++] = word
    }
    if (at < end) {
      let word = 0
      for (let shift = 0; at < end; at++, shift += 8) word |= bytes[at]! << shift
      seen |= word
      words[to++] = word
    }
    if ((seen & 0x80808080) !== 0) return false
    this.#length = to
    this.#finish()
    return true
  }

  /** texts: from entry `first` on the text hashes of name, system name and file; `nameEntry` names it. */
  functionId(
    texts: Uint32Array,
    first: number,
    nameEntry: number,
    startLine: number,
    moduleLow: number,
    moduleHigh: number,
  ): this {
    const words = this.#words
    words[0] = KIND_FUNCTION
    words[1] = texts[2 * nameEntry]!
    words[2] = texts[2 * nameEntry + 1]!
    words[3] = texts[2 * first + 2]!
    words[4] = texts[2 * first + 3]!
    words[5] = texts[2 * first + 4]!
    words[6] = texts[2 * first + 5]!
    words[7] = startLine
    words[8] = moduleLow
    words[9] = moduleHigh
    this.#length = 10
    return this.#finish()
  }

  /** Of the function that stands for what a module has no names for. */
  unnamedFunctionId(moduleLow: number, moduleHigh: number): this {
    const texts = new Uint32Array(6)
    for (let i = 0; i < 3; i++) this.text('').store(texts, i)
    return this.functionId(texts, 0, 0, 0, moduleLow, moduleHigh)
  }

  namedFrameId(
    functionLow: number,
    functionHigh: number,
    line: number,
    buildLow: number,
    buildHigh: number,
  ): this {
    const words = this.#words
    words[0] = KIND_NAMED_FRAME
    words[1] = functionLow
    words[2] = functionHigh
    words[3] = line
    words[4] = buildLow
    words[5] = buildHigh
    this.#length = 6
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
    const at = this.#length
    if (at + 2 > this.#words.length) this.#grow(2)
    this.#words[at] = low
    this.#words[at + 1] = high
    this.#length = at + 2
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
    this.#words[0] = kind
    this.#length = 1
  }

  #word(value: number): void {
    if (this.#length === this.#words.length) this.#grow(1)
    this.#words[this.#length++] = value
  }

  #text(text: string): void {
    const length = text.length
    if (this.#length + 2 + length > this.#words.length) this.#grow(2 + length)
    const words = this.#words
    const mark = this.#length
    let at = mark + 1
    let seen = 0
    let i = 0
    for (; i + 4 <= length; i += 4) {
      const a = text.charCodeAt(i)
      const b = text.charCodeAt(i + 1)
      const c = text.charCodeAt(i + 2)
      const d = text.charCodeAt(i + 3)
      seen |= a | b | c | d
      words[at++] = a | (b << 8) | (c << 16) | (d << 24)
    }
    if (i < length) {
      let word = 0
      for (let shift = 0; i < length; i++, shift += 8) {
        const unit = text.charCodeAt(i)
        seen |= unit
        word |= unit << shift
      }
      words[at++] = word
    }
    if (seen < 0x80) words[mark] = length
    else {
      const bytes = this.#encoder.encode(text)
      words[mark] = bytes.length
      // At most 3 bytes a code unit: the room made above is enough.
      at = mark + 1 + Math.ceil(bytes.length / 4)
      words[at - 1] = 0
      new Uint8Array(words.buffer).set(bytes, 4 * (mark + 1))
    }
    this.#length = at
  }

  #grow(more: number): void {
    const longer = new Int32Array(2 * (this.#length + more))
    longer.set(this.#words)
    this.#words = longer
  }

  #none(): this {
    this.low = 0
    this.high = 0
    return this
  }

  #finish(): this {
    const murmur = this.#murmur
    murmur.hash(this.#words, 4 * this.#length, 0)
    this.low = murmur.h1 >>> 0
    this.high = murmur.h2 >>> 0
    if (this.low === 0 && this.high === 0) this.low = 1
    return this
  }
}

/** The four unsigned words of MurmurHash3 x86_128 (Austin Appleby, public domain). */
export function murmur3x86x128(bytes: Uint8Array, seed: number): [number, number, number, number] {
  const words = new Int32Array(4 * Math.ceil(bytes.length / 16))
  new Uint8Array(words.buffer).set(bytes)
  const murmur = new Murmur3()
  murmur.hash(words, bytes.length, seed)
  return [murmur.h1 >>> 0, murmur.h2 >>> 0, murmur.h3 >>> 0, murmur.h4 >>> 0]
}

const C1 = 0x239b961b
const C2 = 0xab0e9789 | 0
const C3 = 0x38b34ae5
const C4 = 0xa1e38b93 | 0

class Murmur3 {
  h1 = 0
  h2 = 0
  h3 = 0
  h4 = 0

  /** words: little-endian; bytes of the last one past the length are zero. */
  hash(words: Int32Array, byteLength: number, seed: number): void {
    let h1 = seed | 0
    let h2 = h1
    let h3 = h1
    let h4 = h1
    const tail = (byteLength >>> 4) << 2
    for (let i = 0; i < tail; i += 4) {
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
    const rest = byteLength & 15
    if (rest > 0) {
      if (rest > 12) {
        const k = Math.imul(words[tail + 3]!, C4)
        h4 ^= Math.imul((k << 18) | (k >>> 14), C1)
      }
      if (rest > 8) {
        const k = Math.imul(words[tail + 2]!, C3)
        h3 ^= Math.imul((k << 17) | (k >>> 15), C4)
      }
      if (rest > 4) {
        const k = Math.imul(words[tail + 1]!, C2)
        h2 ^= Math.imul((k << 16) | (k >>> 16), C3)
      }
      const k = Math.imul(words[tail]!, C1)
      h1 ^= Math.imul((k << 15) | (k >>> 17), C2)
    }
    h1 ^= byteLength
    h2 ^= byteLength
    h3 ^= byteLength
    h4 ^= byteLength
    h1 = (h1 + h2 + h3 + h4) | 0
    h2 = finalMix(h2 + h1)
    h3 = finalMix(h3 + h1)
    h4 = finalMix(h4 + h1)
    h1 = finalMix(h1)
    h1 = (h1 + h2 + h3 + h4) | 0
    this.h1 = h1
    this.h2 = (h2 + h1) | 0
    this.h3 = (h3 + h1) | 0
    this.h4 = (h4 + h1) | 0
  }
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
