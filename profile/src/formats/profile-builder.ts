import { profileError } from '../errors.ts'
import type { FunctionInfo, Profile, ValueType } from '../model.ts'

/** What one text file may hold; over it the file is refused whole. */
export interface TextLimits {
  maxStacks: number
  maxStackDepth: number
  /** Frames of all stacks together. */
  maxFrames: number
}

export const DEFAULT_TEXT_LIMITS: TextLimits = {
  maxStacks: 1_000_000,
  maxStackDepth: 4096,
  maxFrames: 8_000_000,
}

/** Makes a profile of one value per sample from stacks of named functions: no mappings, no addresses. */
export class ProfileBuilder {
  readonly #sampleType: ValueType
  readonly #limits: TextLimits
  readonly #functions: FunctionInfo[] = []
  readonly #lines: number[] = []
  readonly #locationOfKey = new Map<string, number>()
  readonly #stackOffset: number[] = [0]
  #stackLocation = new Uint32Array(1024)
  #frames = 0
  readonly #values: bigint[] = []

  constructor(sampleType: ValueType, limits: TextLimits = DEFAULT_TEXT_LIMITS) {
    this.#sampleType = sampleType
    this.#limits = limits
  }

  /** The position of a frame; equal ones have one. */
  location(name: string, file = '', line = 0): number {
    const key = `${name}\0${file}\0${line}`
    let location = this.#locationOfKey.get(key)
    if (location === undefined) {
      location = this.#functions.push({ name, systemName: name, file, startLine: 0 }) - 1
      this.#lines.push(line)
      this.#locationOfKey.set(key, location)
    }
    return location
  }

  /** locations: leaf first. Throws TEXT_LIMIT. */
  addStack(locations: ArrayLike<number>, value: bigint): void {
    const { maxStacks, maxStackDepth, maxFrames } = this.#limits
    check('stacks', this.#values.length + 1, maxStacks, 'maxStacks')
    check('frames of a stack', locations.length, maxStackDepth, 'maxStackDepth')
    check('frames', this.#frames + locations.length, maxFrames, 'maxFrames')
    if (this.#frames + locations.length > this.#stackLocation.length) {
      const longer = new Uint32Array(2 * (this.#frames + locations.length))
      longer.set(this.#stackLocation)
      this.#stackLocation = longer
    }
    this.#stackLocation.set(locations, this.#frames)
    this.#frames += locations.length
    this.#stackOffset.push(this.#frames)
    this.#values.push(value)
  }

  get stacks(): number {
    return this.#values.length
  }

  build(): Profile {
    const locations = this.#functions.length
    const positions = Array.from({ length: locations + 1 }, (_, i) => i)
    return {
      sampleTypes: [this.#sampleType],
      defaultSampleType: '',
      periodType: { type: '', unit: '' },
      period: 0n,
      timeNanos: 0n,
      durationNanos: 0n,
      comments: [],
      mappings: [],
      functions: this.#functions,
      locationAddress: new BigUint64Array(locations),
      locationMapping: new Int32Array(locations).fill(-1),
      lineOffset: Uint32Array.from(positions),
      lineFunction: Int32Array.from(positions.slice(0, locations)),
      lineNumber: Uint32Array.from(this.#lines),
      stackOffset: Uint32Array.from(this.#stackOffset),
      stackLocation: this.#stackLocation.slice(0, this.#frames),
      values: BigInt64Array.from(this.#values),
      labelOffset: new Uint32Array(this.#values.length + 1),
      labelKey: new Uint32Array(0),
      labelString: new Int32Array(0),
      labelNumber: new BigInt64Array(0),
      labelUnit: new Int32Array(0),
      labelStrings: [],
    }
  }
}

function check(field: string, value: number, limit: number, setting: string): void {
  if (value <= limit) return
  throw profileError('TEXT_LIMIT', `${field}: ${value}, the limit is ${limit} (${setting})`, {
    field,
    value,
    limit,
    setting,
  })
}
