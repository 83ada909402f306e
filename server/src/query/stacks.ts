import type { StackColumns, TreeFrame } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import { selectStackSums } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { readStackSums } from './row-binary.ts'
import { namedServices } from './selection.ts'
import type { StoredFrame } from './stack-store.ts'

/** The stacks of a selection and what each weighs. */
export interface WeighedStacks {
  /** Leaf first; indices into frames. */
  columns: StackColumns & { stackOffset: Uint32Array; stackFrame: Uint32Array }
  /** Distinct. */
  frames: StoredFrame[]
  trees: TreeFrame[]
  /** One per stack, exact. */
  weights: bigint[]
  /** The same, rounded past 2^53. */
  values: Float64Array
}

/** isGauge: weights are means over the profiles of a series, else sums. */
export async function readStacks(
  context: QueryContext,
  scope: Scope,
  isGauge: boolean,
  usage: ReadUsage,
  signal: AbortSignal | undefined,
): Promise<WeighedStacks> {
  const sums = readStackSums(await context.reader.bytes(selectStackSums(scope, isGauge), usage, signal))
  const stacks = await context.stacks.resolve(
    scope.tenant,
    namedServices(scope.matchers),
    sums.ids,
    usage,
    signal,
  )
  const stackOffset = new Uint32Array(stacks.length + 1)
  for (const [stack, stackFrames] of stacks.entries())
    stackOffset[stack + 1] = stackOffset[stack]! + stackFrames.length
  const stackFrame = new Uint32Array(stackOffset[stacks.length]!)
  const frames: StoredFrame[] = []
  const placeOf = new Map<StoredFrame, number>()
  let at = 0
  for (const stackFrames of stacks) {
    for (const frame of stackFrames) {
      let place = placeOf.get(frame)
      if (place === undefined) {
        place = frames.push(frame) - 1
        placeOf.set(frame, place)
      }
      stackFrame[at++] = place
    }
  }
  const { weights } = sums
  return {
    columns: { stackOffset, stackFrame },
    frames,
    trees: frames.map(frame => frame.tree),
    weights,
    values: Float64Array.from(weights, Number),
  }
}
