import { TreeDraft } from '@strobe/profile'
import { withRoom } from './id-table.ts'

/** Takes the stacks of a selection one by one: path[0 .. depth], leaf first, in keys. */
export interface StackSink {
  add(path: Int32Array, depth: number, value: number, place: number): void
}

export class TreeSink implements StackSink {
  readonly draft: TreeDraft

  /** stacks: how many will come; each brings some nodes of its own. */
  constructor(maxNodes: number, stacks: number) {
    this.draft = new TreeDraft(maxNodes, 8 * stacks)
  }

  add(path: Int32Array, depth: number, value: number): void {
    const { draft } = this
    let node = 0
    for (let at = depth - 1; at >= 0; at--) node = draft.child(node, path[at]!)
    draft.self[node]! += value
  }
}

/** Self and total of every key; a key counts once per stack, however often it stands on it. */
export class FunctionSink implements StackSink {
  self = new Float64Array(1024)
  total = new Float64Array(1024)
  #lastStack = new Int32Array(1024).fill(-1)
  #stacks = 0

  add(path: Int32Array, depth: number, value: number): void {
    const stack = this.#stacks++
    for (let at = 0; at < depth; at++) {
      const key = path[at]!
      if (key >= this.self.length) this.#grow(key + 1)
      if (at === 0) this.self[key]! += value
      if (this.#lastStack[key] === stack) continue
      this.#lastStack[key] = stack
      this.total[key]! += value
    }
  }

  /** What was summed before, elsewhere. */
  addSums(key: number, self: number, total: number): void {
    if (key >= this.self.length) this.#grow(key + 1)
    this.self[key]! += self
    this.total[key]! += total
  }

  #grow(size: number): void {
    this.self = withRoom(this.self, size)
    this.total = withRoom(this.total, size)
    const before = this.#lastStack.length
    this.#lastStack = withRoom(this.#lastStack, size).fill(-1, before)
  }
}

/** The stacks themselves. */
export interface StackList {
  /** stacks + 1 offsets. */
  stackOffset: Uint32Array
  /** Keys, leaf first. */
  stackFrame: Uint32Array
  /** The place of each among the sums. */
  place: Uint32Array
}

export class ListSink implements StackSink {
  #offset = new Uint32Array(1025)
  #frame = new Uint32Array(16_384)
  #place = new Uint32Array(1024)
  #count = 0

  add(path: Int32Array, depth: number, _value: number, place: number): void {
    const stack = this.#count++
    const from = this.#offset[stack]!
    this.#offset = withRoom(this.#offset, stack + 2)
    this.#place = withRoom(this.#place, stack + 1)
    this.#frame = withRoom(this.#frame, from + depth)
    for (let at = 0; at < depth; at++) this.#frame[from + at] = path[at]!
    this.#offset[stack + 1] = from + depth
    this.#place[stack] = place
  }

  finish(): StackList {
    return {
      stackOffset: this.#offset.slice(0, this.#count + 1),
      stackFrame: this.#frame.slice(0, this.#offset[this.#count]!),
      place: this.#place.slice(0, this.#count),
    }
  }
}
