import type { ComparedFunction, DiffSettings, DiffTree, FrameKind, ProfileComparison } from '@strobe/profile'
import type { ApiClient } from '../api-client.ts'
import { CliError, exitCodes } from '../command.ts'

export interface ServerSides {
  type: string
  queryA: string
  fromA: string
  toA: string
  queryB: string
  fromB: string
  toB: string
  normalize: 'share' | 'rate'
}

/** As GET /api/v1/diff answers; docs/openapi.json describes it. */
interface Answer
  extends Pick<ProfileComparison, 'a' | 'b' | 'verdict' | 'cause' | 'method' | 'tested' | 'noise'> {
  unit: string
  normalize: 'share' | 'rate'
  settings: DiffSettings
  functions: ComparedFunction[]
  omitted: { functions: number }
  warnings: string[]
  tree: {
    names: string[]
    files: string[]
    modules: string[]
    kinds: FrameKind[]
    nodes: Record<'name' | 'parent' | 'selfA' | 'selfB' | 'totalA' | 'totalB', number[]>
    omitted: { nodes: number; weight: number }
  }
}

export interface ServerComparison {
  comparison: ProfileComparison
  unit: string
  warnings: string[]
  /** Functions that the server did not list. */
  omittedFunctions: number
}

const maxFunctions = 10_000
const maxNodes = 2_500

export async function askServer(api: ApiClient, sides: ServerSides): Promise<ServerComparison> {
  const isSameTime = sides.fromA === sides.fromB && sides.toA === sides.toB
  if (isSameTime && sides.queryA === sides.queryB)
    throw new CliError(
      'A and B are the same profiles; give another selector, or --from-a and --to-a for another time',
      exitCodes.usage,
    )
  const answer = await api.get<Answer>('diff', { ...sides, nodes: maxNodes, limit: maxFunctions })
  const { unit, normalize, warnings, omitted, tree, ...rest } = answer
  return {
    comparison: { ...rest, normalization: normalize, totals: null, tree: () => readTree(tree) },
    ...{ unit, warnings, omittedFunctions: omitted.functions },
  }
}

/** The root has a frame of its own in an answer, the first one. */
function readTree({ names, files, modules, kinds, nodes, omitted }: Answer['tree']): DiffTree {
  const column = (values: number[]) => Float64Array.from(values)
  const mean = (a: number[], b: number[]) => Float64Array.from(a, (value, node) => (value + b[node]!) / 2)
  return {
    tree: {
      frames: names
        .map((name, place) => ({ name, file: files[place]!, module: modules[place]!, kind: kinds[place]! }))
        .slice(1),
      frame: Int32Array.from(nodes.name, place => place - 1),
      parent: Int32Array.from(nodes.parent),
      self: mean(nodes.selfA, nodes.selfB),
      total: mean(nodes.totalA, nodes.totalB),
    },
    selfA: column(nodes.selfA),
    selfB: column(nodes.selfB),
    totalA: column(nodes.totalA),
    totalB: column(nodes.totalB),
    omitted,
  }
}
