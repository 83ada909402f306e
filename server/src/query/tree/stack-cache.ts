import { Generation } from './generation.ts'

/**
 * Keeps stacks and their frames between queries, in two generations: what is used moves into the young one;
 * when that holds a quarter of the bytes, it becomes the old one and the old one goes, with all that was
 * not used since the last change. Columns double as they grow, so a generation never has more than half.
 *
 * Ids are hashes of content, so nothing here is ever stale. Tenants do not share entries: the hash does
 * not resist somebody who looks for a collision.
 */
export class StackCache {
  /** The generation that the last find or add was about. */
  found = new Generation()
  /** Stacks of queries that were here, and that were not: counted by who asks. */
  hits = 0
  misses = 0
  readonly #maxBytes: number
  readonly #owners = new Map<string, number>()
  #young = this.found
  #old = new Generation()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get byteLength(): number {
    return this.#young.byteLength + this.#old.byteLength
  }

  get stacks(): number {
    return this.#young.stacks.count + this.#old.stacks.count
  }

  ownerOf(tenant: string): number {
    let owner = this.#owners.get(tenant)
    if (owner === undefined) {
      owner = this.#owners.size
      this.#owners.set(tenant, owner)
    }
    return owner
  }

  /** The index of a stack in `found`, -1 when it is not here. */
  find(low: number, high: number, owner: number): number {
    const known = this.#young.stacks.find(low, high, owner)
    if (known >= 0) {
      this.found = this.#young
      return known
    }
    const source = this.#old
    const old = source.stacks.find(low, high, owner)
    if (old < 0) return -1
    this.#makeRoom()
    const young = this.#young
    const start = source.stackStart(old)
    const end = source.stackEnd(old)
    const frames = new Uint32Array(end - start)
    for (let at = start; at < end; at++) frames[at - start] = young.copyFrame(source, source.stackFrames[at]!)
    this.found = young
    return young.addStack(low, high, owner, frames)
  }

  hasFrame(low: number, high: number, owner: number): boolean {
    return this.#young.frames.find(low, high, owner) >= 0 || this.#old.frames.find(low, high, owner) >= 0
  }

  /** The index of a frame in `found`, -1 when it is not here. */
  findFrame(low: number, high: number, owner: number): number {
    const known = this.#young.frames.find(low, high, owner)
    if (known >= 0) {
      this.found = this.#young
      return known
    }
    const old = this.#old.frames.find(low, high, owner)
    if (old < 0) return -1
    const source = this.#old
    this.#makeRoom()
    this.found = this.#young
    return this.#young.copyFrame(source, old)
  }

  /** Keeps a frame that is not here; its index in `found`. makeFrame as in add. */
  addFrame(
    low: number,
    high: number,
    makeFrame: (into: Generation, low: number, high: number) => number,
  ): number {
    this.#makeRoom()
    this.found = this.#young
    return makeFrame(this.#young, low, high)
  }

  /**
   * Keeps a stack that is not here; its index in `found`. frames: id halves, leaf first.
   * makeFrame adds a frame that no generation has to the one given and returns its index, -1 when it cannot:
   * then nothing is added and the answer is -1.
   */
  add(
    low: number,
    high: number,
    owner: number,
    frames: Uint32Array,
    makeFrame: (into: Generation, low: number, high: number) => number,
  ): number {
    this.#makeRoom()
    const young = this.#young
    const indices = new Uint32Array(frames.length / 2)
    for (let at = 0; at < indices.length; at++) {
      const frameLow = frames[2 * at]!
      const frameHigh = frames[2 * at + 1]!
      let index = young.frames.find(frameLow, frameHigh, owner)
      if (index < 0) {
        const old = this.#old.frames.find(frameLow, frameHigh, owner)
        index = old >= 0 ? young.copyFrame(this.#old, old) : makeFrame(young, frameLow, frameHigh)
        if (index < 0) return -1
      }
      indices[at] = index
    }
    this.found = young
    return young.addStack(low, high, owner, indices)
  }

  /** Between stacks only: the frames of one must stay in one generation. */
  #makeRoom(): void {
    if (this.#young.byteLength <= this.#maxBytes / 4) return
    this.#old = this.#young
    this.#young = new Generation()
  }
}
