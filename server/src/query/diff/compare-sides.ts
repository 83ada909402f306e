import { type ComparedSide, compareProfiles, type ProfileComparison } from '@strobe/profile'
import type { ListedStacks } from '../tree/protocol.ts'
import { type TreeColumnsAnswer, treeColumns } from '../tree-columns.ts'

export interface SideInput {
  stacks: ListedStacks
  replicates: ReplicateFacts[]
  /** Rows of (replicate UInt64, stack_id UInt64, value Float64) in RowBinary. */
  selfRows: Uint8Array
}

export interface ReplicateFacts {
  /** Decimal. */
  id: string
  samples: number
  seconds: number
  /** Weight of its profiles; the selves are less when only samples of some label are asked for. */
  value: number
}

export interface CompareInput {
  a: SideInput
  b: SideInput
  normalize: 'share' | 'rate'
  nodes: number
  limit: number
}

export interface CompareAnswer extends Omit<ProfileComparison, 'tree' | 'totals' | 'normalization'> {
  omitted: { functions: number }
  tree: Omit<TreeColumnsAnswer, 'nodes'> & {
    nodes: Record<'name' | 'parent' | 'selfA' | 'selfB' | 'totalA' | 'totalB', number[]>
    omitted: { nodes: number; weight: number }
  }
}

const selfRowBytes = 24

/** Pure; as long as a thousand instances have functions, so it runs in a thread. */
export function compareSides({ a, b, normalize, nodes, limit }: CompareInput): CompareAnswer {
  const comparison = compareProfiles(sideOf(a), sideOf(b), normalize)
  const { tree, totals: _, normalization: __, functions, ...rest } = comparison
  const diff = tree(nodes)
  const { nodes: columns, ...frames } = treeColumns(diff.tree)
  return {
    ...rest,
    functions: functions.slice(0, limit),
    omitted: { functions: Math.max(0, functions.length - limit) },
    tree: {
      ...frames,
      nodes: {
        ...{ name: columns.name, parent: columns.parent },
        ...{ selfA: [...diff.selfA], selfB: [...diff.selfB] },
        ...{ totalA: [...diff.totalA], totalB: [...diff.totalB] },
      },
      omitted: diff.omitted,
    },
  }
}

function sideOf({ stacks, replicates, selfRows }: SideInput): ComparedSide {
  const { stackOffset, stackFrame, frames, values, ids } = stacks
  const leafOf = new Map<bigint, number>()
  const halves = new DataView(ids.buffer, ids.byteOffset, ids.byteLength)
  for (let stack = 0; stack < values.length; stack++)
    leafOf.set(halves.getBigUint64(8 * stack, true), stackFrame[stackOffset[stack]!]!)
  const selves = new Map(replicates.map(({ id }) => [BigInt(id), new Map<number, number>()]))
  const rows = new DataView(selfRows.buffer, selfRows.byteOffset, selfRows.byteLength)
  for (let at = 0; at + selfRowBytes <= selfRows.byteLength; at += selfRowBytes) {
    const leaf = leafOf.get(rows.getBigUint64(at + 8, true))
    const self = selves.get(rows.getBigUint64(at, true))
    // A profile that was stored between two reads is in one of them only; the next diff has it whole.
    if (leaf === undefined || !self) continue
    self.set(leaf, (self.get(leaf) ?? 0) + rows.getFloat64(at + 16, true))
  }
  return {
    stacks: { stackOffset, stackFrame, values, frames },
    replicates: replicates.flatMap(({ id, samples, seconds, value }) => {
      const self = selves.get(BigInt(id))!
      // A stretch in which an instance was idle says nothing about shares.
      if (self.size === 0) return []
      const asked = [...self.values()].reduce((sum, weight) => sum + weight, 0)
      return [{ self, samples: value > 0 ? samples * Math.min(1, asked / value) : samples, seconds }]
    }),
  }
}
