import type { FrameKind } from '@strobe/profile'
import { grown, IdTable, withRoom } from './id-table.ts'
import { TextTable } from './text-table.ts'

export const frameKinds: readonly FrameKind[] = [
  'native',
  'kernel',
  'jit',
  'interpreted',
  'unsymbolized',
  'omitted',
  'none',
]

/** A frame as the store has it. */
export interface FrameFacts {
  name: string
  file: string
  module: string
  kind: FrameKind
  systemName: string
  startLine: number
  line: number
  buildId: string
  addressLow: number
  addressHigh: number
}

/**
 * Stacks, frames and texts that came into the cache in one span of time, all in typed arrays:
 *
 *     stack id ─► stack ─► frames[offset .. offset + 1] ─► frame ─► shown ─► texts
 *
 * `shown` is what a call tree tells apart: name, file, module and kind. Functions of other lines or system
 * names, and the lines of one function, share it.
 */
export class Generation {
  readonly texts = new TextTable()
  readonly stacks = new IdTable()
  readonly frames = new IdTable()
  readonly #shown = new IdTable()
  #stackOffset = new Uint32Array(65)
  #stackFrame = new Uint32Array(1024)
  /** Frames x 7: shown, system name, start line, line, build id, address low, address high. */
  #frameColumns = new Uint32Array(64 * frameWidth)
  /** Shown x 4: name, file, module, kind. */
  #shownColumns = new Uint32Array(64 * shownWidth)

  /** Everything this generation has allocated. */
  get byteLength(): number {
    return (
      this.texts.byteLength +
      this.stacks.byteLength +
      this.frames.byteLength +
      this.#shown.byteLength +
      4 *
        (this.#stackOffset.length +
          this.#stackFrame.length +
          this.#frameColumns.length +
          this.#shownColumns.length)
    )
  }

  get frameCount(): number {
    return this.frames.count
  }

  get shownCount(): number {
    return this.#shown.count
  }

  stackStart(stack: number): number {
    return this.#stackOffset[stack]!
  }

  stackEnd(stack: number): number {
    return this.#stackOffset[stack + 1]!
  }

  /** Frames of all stacks, leaf first; valid until the next stack is added. */
  get stackFrames(): Uint32Array {
    return this.#stackFrame
  }

  shownOf(frame: number): number {
    return this.#frameColumns[frame * frameWidth]!
  }

  lineOf(frame: number): number {
    return this.#frameColumns[frame * frameWidth + 3]!
  }

  shownName(shown: number): string {
    return this.texts.read(this.#shownColumns[shown * shownWidth]!)
  }

  shownFile(shown: number): string {
    return this.texts.read(this.#shownColumns[shown * shownWidth + 1]!)
  }

  shownModule(shown: number): string {
    return this.texts.read(this.#shownColumns[shown * shownWidth + 2]!)
  }

  shownKind(shown: number): FrameKind {
    return frameKinds[this.#shownColumns[shown * shownWidth + 3]!]!
  }

  frameFacts(frame: number): FrameFacts {
    const at = frame * frameWidth
    const columns = this.#frameColumns
    const shown = columns[at]!
    return {
      name: this.shownName(shown),
      file: this.shownFile(shown),
      module: this.shownModule(shown),
      kind: this.shownKind(shown),
      systemName: this.texts.read(columns[at + 1]!),
      startLine: columns[at + 2]!,
      line: columns[at + 3]!,
      buildId: this.texts.read(columns[at + 4]!),
      addressLow: columns[at + 5]!,
      addressHigh: columns[at + 6]!,
    }
  }

  /** frames: indices of this generation, leaf first. The stack must not be there yet. */
  addStack(low: number, high: number, owner: number, frames: Uint32Array): number {
    const stack = this.stacks.add(low, high, owner)
    this.#stackOffset = withRoom(this.#stackOffset, stack + 2)
    const from = this.#stackOffset[stack]!
    const to = from + frames.length
    this.#stackFrame = withRoom(this.#stackFrame, to)
    this.#stackFrame.set(frames, from)
    this.#stackOffset[stack + 1] = to
    return stack
  }

  /** The index of a frame that is not there yet. */
  addFrame(low: number, high: number, owner: number, given: GivenFrame): number {
    const frame = this.#placeFrame(low, high, owner)
    const at = frame * frameWidth
    const columns = this.#frameColumns
    columns[at] = this.#showText(given.name, given.file, given.module, frameKinds.indexOf(given.kind))
    columns[at + 1] = given.systemName
    columns[at + 2] = given.startLine
    columns[at + 3] = given.line
    columns[at + 4] = given.buildId
    columns[at + 5] = given.addressLow
    columns[at + 6] = given.addressHigh
    return frame
  }

  /** A frame of another generation; its index here. */
  copyFrame(other: Generation, frame: number): number {
    const low = other.frames.low(frame)
    const high = other.frames.high(frame)
    const owner = other.frames.owner(frame)
    const known = this.frames.find(low, high, owner)
    if (known >= 0) return known
    const { texts } = this
    const own = this.#placeFrame(low, high, owner)
    const from = other.#frameColumns.subarray(frame * frameWidth, (frame + 1) * frameWidth)
    const shown = other.#shownColumns.subarray(from[0]! * shownWidth, (from[0]! + 1) * shownWidth)
    this.#frameColumns.set(from, own * frameWidth)
    this.#frameColumns[own * frameWidth] = this.#showText(
      texts.addFrom(other.texts, shown[0]!),
      texts.addFrom(other.texts, shown[1]!),
      texts.addFrom(other.texts, shown[2]!),
      shown[3]!,
    )
    this.#frameColumns[own * frameWidth + 1] = texts.addFrom(other.texts, from[1]!)
    this.#frameColumns[own * frameWidth + 4] = texts.addFrom(other.texts, from[4]!)
    return own
  }

  #placeFrame(low: number, high: number, owner: number): number {
    const frame = this.frames.add(low, high, owner)
    this.#frameColumns = withRoom(this.#frameColumns, (frame + 1) * frameWidth)
    return frame
  }

  #showText(name: number, file: number, module: number, kind: number): number {
    // Texts are distinct, so the four numbers are the identity: no hash of them is needed.
    const shown = this.#shown.add(name, file, module * frameKinds.length + kind)
    if ((shown + 1) * shownWidth > this.#shownColumns.length)
      this.#shownColumns = grown(this.#shownColumns, 2 * this.#shownColumns.length)
    this.#shownColumns.set([name, file, module, kind], shown * shownWidth)
    return shown
  }
}

/** FrameFacts whose texts are indices into the generation's. */
export type GivenFrame = {
  [Fact in keyof FrameFacts]: Fact extends 'kind' ? FrameKind : number
}

const frameWidth = 7
const shownWidth = 4
