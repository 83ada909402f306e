/**
 * One side of a diff. A replicate is what is alike in itself and varies against others: an instance, or a
 * recording.
 */
export interface DiffSide {
  /** One per replicate, in the unit of the profile type. */
  totals: Float64Array
  /** One per replicate. How many samples made it: what its noise depends on. */
  samples: Float64Array
  /** One per replicate: seconds that its profiles cover, 0 when not known. */
  seconds: Float64Array
  /** Self weights by function, sparse: those of function f stand at selfOffset[f] .. selfOffset[f + 1]. */
  selfOffset: Uint32Array
  selfReplicate: Uint32Array
  selfWeight: Float64Array
}

export interface Replicate {
  /** Function -> self weight, in the unit of the profile type. */
  self: ReadonlyMap<number, number>
  samples: number
  seconds: number
}

/** functions: how many there are; both sides of a diff count them alike. */
export function buildSide(replicates: readonly Replicate[], functions: number): DiffSide {
  const selfOffset = new Uint32Array(functions + 1)
  for (const { self } of replicates) for (const index of self.keys()) selfOffset[index + 1]!++
  for (let index = 0; index < functions; index++) selfOffset[index + 1]! += selfOffset[index]!
  const next = selfOffset.slice(0, functions)
  const selfReplicate = new Uint32Array(selfOffset[functions]!)
  const selfWeight = new Float64Array(selfOffset[functions]!)
  const totals = new Float64Array(replicates.length)
  for (const [replicate, { self }] of replicates.entries()) {
    for (const [index, weight] of self) {
      const at = next[index]!++
      selfReplicate[at] = replicate
      selfWeight[at] = weight
      totals[replicate]! += weight
    }
  }
  return {
    totals,
    samples: Float64Array.from(replicates, ({ samples }) => samples),
    seconds: Float64Array.from(replicates, ({ seconds }) => seconds),
    selfOffset,
    selfReplicate,
    selfWeight,
  }
}

export function sum(values: Float64Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}
