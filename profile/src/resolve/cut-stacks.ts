import { functionId, functionStackId, namedFrameId, stackId } from '../identity.ts'
import type { ResolvedProfile } from '../normalize.ts'

/** What stands at the root of a stack that does not reach it; the same frame that the agent puts there. */
export const CUT_MARKER = {
  name: '[truncated]',
  systemName: '',
  file: '',
  startLine: 0,
  module: '[unwinder]',
}

export interface CutProfile {
  profile: ResolvedProfile
  /** One per stack: 1 when it was cut. */
  isCut: Uint8Array
  /** Stacks cut. */
  cut: number
}

/**
 * Keeps the leaf side of stacks deeper than maxDepth frames, below a frame `[truncated]`. Nothing else of
 * the profile changes; the same object comes back when no stack is that deep. Two stacks may become equal.
 */
export function cutStacks(profile: ResolvedProfile, maxDepth: number): CutProfile {
  const { stackOffset, stackFrame } = profile
  const stacks = profile.stackId.length
  const isCut = new Uint8Array(stacks)
  let cut = 0
  for (let stack = 0; stack < stacks; stack++) {
    if (stackOffset[stack + 1]! - stackOffset[stack]! <= maxDepth) continue
    isCut[stack] = 1
    cut++
  }
  if (cut === 0) return { profile, isCut, cut }

  const markerFunction = functionId(
    CUT_MARKER.name,
    CUT_MARKER.systemName,
    CUT_MARKER.file,
    CUT_MARKER.startLine,
    CUT_MARKER.module,
  )
  const markerFrame = namedFrameId(markerFunction, 0, '')
  const frames = profile.frameId.length
  const functions = [...profile.functions, CUT_MARKER]
  const functionIds = appended(profile.functionId, markerFunction)
  const frameIds = appended(profile.frameId, markerFrame)
  const withMarker: ResolvedProfile = {
    ...profile,
    functions,
    functionId: functionIds,
    frameId: frameIds,
    frameFunction: withLast(profile.frameFunction, new Int32Array(frames + 1), functions.length - 1),
    frameLine: withLast(profile.frameLine, new Uint32Array(frames + 1), 0),
    frameAddress: appended(profile.frameAddress, 0n),
    frameBuildId: [...profile.frameBuildId, ''],
    frameKind: [...profile.frameKind, 'none'],
    stackId: profile.stackId.slice(),
    fstackId: profile.fstackId.slice(),
    stackOffset: new Uint32Array(stacks + 1),
    stackFrame: new Uint32Array(stackFrame.length + cut),
  }
  let filled = 0
  for (let stack = 0; stack < stacks; stack++) {
    const from = stackOffset[stack]!
    const to = isCut[stack] === 1 ? from + maxDepth : stackOffset[stack + 1]!
    const start = filled
    withMarker.stackFrame.set(stackFrame.subarray(from, to), filled)
    filled += to - from
    if (isCut[stack] === 1) {
      withMarker.stackFrame[filled++] = frames
      const kept = withMarker.stackFrame.subarray(start, filled)
      withMarker.stackId[stack] = stackId(BigUint64Array.from(kept, frame => frameIds[frame]!))
      withMarker.fstackId[stack] = functionStackId(
        BigUint64Array.from(kept, frame => functionIds[withMarker.frameFunction[frame]!]!),
      )
    }
    withMarker.stackOffset[stack + 1] = filled
  }
  withMarker.stackFrame = withMarker.stackFrame.slice(0, filled)
  return { profile: withMarker, isCut, cut }
}

function appended(ids: BigUint64Array, id: bigint): BigUint64Array {
  const longer = new BigUint64Array(ids.length + 1)
  longer.set(ids)
  longer[ids.length] = id
  return longer
}

function withLast<T extends Int32Array | Uint32Array>(values: T, longer: T, last: number): T {
  longer.set(values)
  longer[values.length] = last
  return longer
}
