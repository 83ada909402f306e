import { profileError } from '../errors.ts'
import type { IdentityHasher } from '../identity.ts'
import type { Profile } from '../model.ts'
import type { ResolvedProfile, ResolveLimits } from '../normalize.ts'
import type { FrameTable } from './frame-table.ts'
import { SlotTable } from './slot-table.ts'

/** Distinct stacks of frames, by identity. */
export class StackTable {
  readonly #hasher: IdentityHasher
  readonly #frames: FrameTable
  readonly #limits: ResolveLimits
  #slots = new SlotTable(128)
  #capacity = 128
  #halves = new Uint32Array(256)
  #functionHalves = new Uint32Array(256)
  #offset = new Uint32Array(129)
  #stackFrame = new Uint32Array(1024)
  #count = 0
  #filled = 0

  constructor(hasher: IdentityHasher, frames: FrameTable, limits: ResolveLimits) {
    this.#hasher = hasher
    this.#frames = frames
    this.#limits = limits
  }

  add(profile: Profile, sample: number): number {
    const hasher = this.#hasher
    const frames = this.#frames
    const first = profile.stackOffset[sample]!
    const last = profile.stackOffset[sample + 1]!
    let end = this.#filled
    hasher.beginStack(false)
    for (let at = first; at < last; at++) {
      const location = profile.stackLocation[at]!
      const longest = end + frames.offset[location + 1]! - frames.offset[location]!
      if (longest - this.#filled > this.#limits.maxStackFrames || longest > this.#limits.maxFrames) {
        throw tooManyFrames(sample, longest - this.#filled, longest, this.#limits)
      }
      for (let f = frames.offset[location]!; f < frames.offset[location + 1]!; f++) {
        const frame = frames.frameOfLocation[f]!
        hasher.addToStack(frames.halves[2 * frame]!, frames.halves[2 * frame + 1]!)
        if (end === this.#stackFrame.length) {
          const longer = new Uint32Array(2 * end)
          longer.set(this.#stackFrame)
          this.#stackFrame = longer
        }
        this.#stackFrame[end++] = frame
      }
    }
    hasher.finishStack()
    const { low, high } = hasher
    let slot = this.#slots.first(low)
    let stack = this.#slots.slots[slot]!
    while (stack >= 0) {
      if (this.#halves[2 * stack] === low && this.#halves[2 * stack + 1] === high) return stack
      slot = (slot + 1) & this.#slots.mask
      stack = this.#slots.slots[slot]!
    }
    if (this.#count === this.#capacity) {
      this.#grow()
      slot = this.#slots.first(low)
      while (this.#slots.slots[slot]! >= 0) slot = (slot + 1) & this.#slots.mask
    }
    stack = this.#count++
    this.#slots.slots[slot] = stack
    this.#halves[2 * stack] = low
    this.#halves[2 * stack + 1] = high
    hasher.beginStack(true)
    for (let at = this.#filled; at < end; at++) {
      const frame = this.#stackFrame[at]!
      hasher.addToStack(frames.functionHalves[2 * frame]!, frames.functionHalves[2 * frame + 1]!)
    }
    hasher.finishStack()
    this.#functionHalves[2 * stack] = hasher.low
    this.#functionHalves[2 * stack + 1] = hasher.high
    this.#filled = end
    this.#offset[stack + 1] = end
    return stack
  }

  columns(): Pick<ResolvedProfile, 'stackId' | 'fstackId' | 'stackOffset' | 'stackFrame'> {
    const bytes = 8 * this.#count
    return {
      stackId: new BigUint64Array(this.#halves.buffer.slice(0, bytes)),
      fstackId: new BigUint64Array(this.#functionHalves.buffer.slice(0, bytes)),
      stackOffset: this.#offset.slice(0, this.#count + 1),
      stackFrame: this.#stackFrame.slice(0, this.#filled),
    }
  }

  #grow(): void {
    this.#capacity *= 2
    const halves = new Uint32Array(2 * this.#capacity)
    halves.set(this.#halves)
    this.#halves = halves
    const functionHalves = new Uint32Array(2 * this.#capacity)
    functionHalves.set(this.#functionHalves)
    this.#functionHalves = functionHalves
    const offset = new Uint32Array(this.#capacity + 1)
    offset.set(this.#offset)
    this.#offset = offset
    this.#slots = new SlotTable(this.#capacity)
    for (let stack = 0; stack < this.#count; stack++) {
      let slot = this.#slots.first(halves[2 * stack]!)
      while (this.#slots.slots[slot]! >= 0) slot = (slot + 1) & this.#slots.mask
      this.#slots.slots[slot] = stack
    }
  }
}

/** PPROF_LIMIT of a stack, or of all, with its inlined calls. */
export function tooManyFrames(sample: number, inStack: number, inAll: number, limits: ResolveLimits): Error {
  const isStack = inStack > limits.maxStackFrames
  const field = isStack ? `frames of sample ${sample}` : 'frames of all stacks'
  const [value, limit] = isStack ? [inStack, limits.maxStackFrames] : [inAll, limits.maxFrames]
  const setting = isStack ? 'maxStackFrames' : 'maxFrames'
  return profileError('PPROF_LIMIT', `${field}: ${value} or more, the limit is ${limit} (${setting})`, {
    field,
    value,
    limit,
    setting,
  })
}
