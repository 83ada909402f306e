import type { CallTree, FrameKind } from '@strobe/profile'

/** A call tree as answers have it. */
export interface TreeColumnsAnswer {
  /** Frames in four columns; nodes.name points into them. */
  names: string[]
  files: string[]
  modules: string[]
  kinds: FrameKind[]
  /** Depth first, siblings by total, largest first; node 0 is the root and its parent is -1. */
  nodes: { name: number[]; parent: number[]; self: number[]; total: number[] }
}

/** The frames' columns and the nodes' columns of an answer; the root has a frame of its own, 'all'. */
export function treeColumns(tree: CallTree): TreeColumnsAnswer {
  const frames = [{ name: 'all', file: '', module: '', kind: 'none' as FrameKind }]
  const placeOf = new Map<number, number>([[-1, 0]])
  const name = Array.from(tree.frame, frameIndex => {
    let place = placeOf.get(frameIndex)
    if (place === undefined) {
      place = frames.push(tree.frames[frameIndex]!) - 1
      placeOf.set(frameIndex, place)
    }
    return place
  })
  return {
    names: frames.map(frame => frame.name),
    files: frames.map(frame => frame.file),
    modules: frames.map(frame => frame.module),
    kinds: frames.map(frame => frame.kind),
    nodes: {
      name,
      parent: Array.from(tree.parent),
      self: Array.from(tree.self),
      total: Array.from(tree.total),
    },
  }
}
