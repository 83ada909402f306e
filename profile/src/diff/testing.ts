/** Sides drawn from known shares, for tests and the bench of diffs. */
import { buildSide, type DiffSide } from './side.ts'

/** Numbers in [0, 1) that are the same on every run (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

export interface Draw {
  shares: number[]
  instances: number
  samples: number
  /** Standard deviation of a function's own share between instances, over the share. */
  jitter?: number
}

/** Instances that draw their samples from shares that wander a little from one to the next. */
export function drawSide({ shares, instances, samples, jitter = 0 }: Draw, random: () => number): DiffSide {
  const replicates = Array.from({ length: instances }, () => {
    const own = shares.map(share => share * Math.exp(jitter * (random() + random() + random() - 1.5) * 2))
    const all = own.reduce((x, y) => x + y, 0)
    const bounds: number[] = []
    own.reduce((before, share, index) => {
      bounds[index] = before + share / all
      return bounds[index]
    }, 0)
    const self = new Map<number, number>()
    for (let sample = 0; sample < samples; sample++) {
      const at = random()
      let low = 0
      let high = bounds.length - 1
      while (low < high) {
        const middle = (low + high) >> 1
        if (bounds[middle]! > at) high = middle
        else low = middle + 1
      }
      self.set(low, (self.get(low) ?? 0) + 1)
    }
    return { self, samples, seconds: 60 }
  })
  return buildSide(replicates, shares.length)
}

/** Zipf: a few hot functions, many small ones. Adds up to 1. */
export function zipf(functions: number): number[] {
  const weights = Array.from({ length: functions }, (_, i) => 1 / (i + 1))
  const all = weights.reduce((x, y) => x + y, 0)
  return weights.map(weight => weight / all)
}

/** The shares, as weights, after one function grew until its share of the new whole is `shift` more. */
export function grow(shares: readonly number[], victim: number, shift: number): number[] {
  const grown = shares.slice()
  const target = shares[victim]! + shift
  grown[victim] = (target * (1 - shares[victim]!)) / (1 - target)
  return grown
}
