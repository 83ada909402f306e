import { profileError } from './errors.ts'

/**
 * A call tree that grows, in columns. Node 0 is the root; a parent comes before its children; otherwise nodes
 * stand in order of arrival. A frame is any number from 0 on that the caller gives a meaning.
 *
 * Only `self` is written while stacks arrive: sumTotals() makes the totals of all nodes in one pass.
 * A node costs 24 bytes and 8 to 16 bytes of hash slots.
 */
export class TreeDraft {
  count = 1
  frame: Int32Array
  parent: Int32Array
  self: Float64Array
  /** Whole after sumTotals. */
  total = new Float64Array(0)
  readonly #maxNodes: number
  #slots: Int32Array

  /** expected: about how many nodes there will be; growing costs a copy and new slots each time. */
  constructor(maxNodes: number = Number.POSITIVE_INFINITY, expected = 256) {
    const size = 2 ** Math.ceil(Math.log2(Math.min(Math.max(256, expected), 2 ** 18)))
    this.#maxNodes = maxNodes
    this.frame = new Int32Array(size)
    this.parent = new Int32Array(size)
    this.self = new Float64Array(size)
    this.#slots = new Int32Array(4 * size).fill(-1)
    this.frame[0] = -1
    this.parent[0] = -1
  }

  /** The child of `parent` for `frame`, made when new. Throws TREE_LIMIT past maxNodes. */
  child(parent: number, frame: number): number {
    const slot = this.#slotOf(parent, frame)
    const node = this.#slots[slot]!
    return node >= 0 ? node : this.#add(parent, frame, slot)
  }

  /** Fills `total` from `self`: children come after their parents, so one pass from the end does it. */
  sumTotals(): void {
    const { parent, count } = this
    const total = this.self.slice(0, count)
    for (let node = count - 1; node > 0; node--) total[parent[node]!]! += total[node]!
    this.total = total
  }

  #add(parent: number, frame: number, slot: number): number {
    if (this.count >= this.#maxNodes)
      throw profileError(
        'TREE_LIMIT',
        `the call tree has more than ${this.#maxNodes} nodes; take a shorter range, fewer series, or group by something coarser`,
        { limit: this.#maxNodes },
      )
    if (this.count === this.frame.length) {
      this.#grow()
      return this.#add(parent, frame, this.#slotOf(parent, frame))
    }
    const node = this.count++
    this.#slots[slot] = node
    this.frame[node] = frame
    this.parent[node] = parent
    return node
  }

  /** The slot that holds the node, or the empty one where it belongs. */
  #slotOf(parent: number, frame: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    const hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame + 1, 0x85ebca6b)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const node = slots[slot]!
      if (node < 0 || (this.parent[node] === parent && this.frame[node] === frame)) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const size = 2 * this.frame.length
    const resized = <T extends Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from)
      return to
    }
    this.frame = resized(this.frame, new Int32Array(size))
    this.parent = resized(this.parent, new Int32Array(size))
    this.self = resized(this.self, new Float64Array(size))
    this.#slots = new Int32Array(4 * size).fill(-1)
    for (let node = 1; node < this.count; node++)
      this.#slots[this.#slotOf(this.parent[node]!, this.frame[node]!)] = node
  }
}
