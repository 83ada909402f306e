import type { StackColumns } from './call-tree.ts'
import type { TreeFrame } from './model.ts'
import type { ResolvedProfile } from './normalize.ts'

export interface WeightedStacks extends StackColumns {
  /** One per stack. Sums are made in 64 bits; a sum over 2^53 is rounded once. */
  values: Float64Array
  frames: TreeFrame[]
}

/** The stacks of one value column summed over labels, ready for buildCallTree. series null: of all series. */
export function columnStacks(
  resolved: ResolvedProfile,
  column: number,
  series: number | null = null,
): WeightedStacks {
  const sums = new BigInt64Array(resolved.stackId.length)
  const samples = resolved.sampleStack.length
  const width = samples === 0 ? 0 : resolved.values.length / samples
  for (let sample = 0; sample < samples; sample++) {
    if (series !== null && resolved.sampleSeries[sample] !== series) continue
    sums[resolved.sampleStack[sample]!]! += resolved.values[sample * width + column]!
  }
  return {
    stackOffset: resolved.stackOffset,
    stackFrame: resolved.stackFrame,
    values: Float64Array.from(sums, Number),
    frames: treeFrames(resolved),
  }
}

/** How each frame of a resolved profile is shown, in the same order. */
export function treeFrames(resolved: ResolvedProfile): TreeFrame[] {
  return Array.from(resolved.frameFunction, (functionIndex, frame) => {
    const { name, file, module } = resolved.functions[functionIndex]!
    const kind = resolved.frameKind[frame]!
    return {
      name: kind === 'unsymbolized' ? addressName(module, resolved.frameAddress[frame]!) : name,
      file,
      module,
      kind,
    }
  })
}

/** `libc.so.6+0x1f`; `[unknown]+0x1f` outside any module. */
export function addressName(module: string, address: bigint): string {
  const hex = `0x${address.toString(16)}`
  return `${module === '' ? '[unknown]' : module}+${hex}`
}
