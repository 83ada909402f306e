import { type FrameKind, functionTotals, parseProfileTypeId } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, type Meta, readMeta } from './coverage.ts'
import { isGauge } from './profile-types.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import { readStacks } from './stacks.ts'

export interface FunctionsAnswer {
  unit: string
  total: number
  functions: {
    name: string
    file: string
    module: string
    kind: FrameKind
    self: number
    total: number
  }[]
  omitted: { functions: number; self: number }
  meta: Meta
}

/**
 * Self and total of every function, from all stacks. search: text in a name or file, case ignored. omitted:
 * those that matched the search and are past the limit.
 */
export async function queryFunctions(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & { sort: 'self' | 'total'; limit: number; search: string },
  signal: AbortSignal | undefined,
): Promise<FunctionsAnswer> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const type = parseProfileTypeId(scope.type)
  const [stacks, meta] = await Promise.all([
    readStacks(context, scope, isGauge(type), usage, signal),
    readMeta(context, scope, usage, signal),
  ])
  const wanted = input.search.toLowerCase()
  const found = functionTotals(stacks.columns, stacks.values, stacks.trees).filter(
    ({ frame }) =>
      wanted === '' || frame.name.toLowerCase().includes(wanted) || frame.file.toLowerCase().includes(wanted),
  )
  if (input.sort === 'total') found.sort((a, b) => b.total - a.total || b.self - a.self)
  const omitted = found.slice(input.limit)
  return {
    unit: type.sampleUnit,
    total: stacks.values.reduce((sum, value) => sum + value, 0),
    functions: found.slice(0, input.limit).map(({ frame, self, total }) => ({
      name: frame.name,
      file: frame.file,
      module: frame.module,
      kind: frame.kind,
      self,
      total,
    })),
    omitted: {
      functions: omitted.length,
      self: omitted.reduce((sum, { self }) => sum + self, 0),
    },
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}
