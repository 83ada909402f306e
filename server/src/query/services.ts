import { parseProfileTypeId } from '@strobe/profile'
import { selectCoverage } from '../storage/select/coverage.ts'
import type { ReadUsage } from '../storage/select/reader.ts'
import type { Scope } from '../storage/select/statement.ts'
import { selectServices, selectTypes } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { type CoverageRow, finishMeta, type Meta, readMeta, wholeRange } from './coverage.ts'
import { keepRange } from './kept-range.ts'
import { isCpu } from './profile-types.ts'
import { type RangeInput, resolveRange } from './selection.ts'

export interface ServiceInfo {
  name: string
  types: string[]
  instances: number
  versions: string[]
  /** End of its last profile in the range, unix ms. */
  lastSeen: number
  /** CPU seconds per second of covered time; null without a cpu type. */
  cores: number | null
  demo?: boolean
}

/** Services with profiles in the range, by name. */
export async function queryServices(
  context: QueryContext,
  tenant: string,
  input: RangeInput,
  signal: AbortSignal | undefined,
): Promise<{ services: ServiceInfo[]; meta: Meta }> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const range = resolveRange(input, context.now())
  const scope: Scope = keepRange(context, { tenant, range, types: [], matchers: [] }, 'minutes')
  const { reader } = context
  const whole = { by: 'service' as const, stepSeconds: wholeRange, withMinutes: false }
  const types = (await reader.rows<[string]>(selectTypes(scope), usage, signal)).map(([id]) => id)
  const cpuTypes = types.filter(id => isCpu(parseProfileTypeId(id)))
  const [rows, seen, cpu, meta] = await Promise.all([
    reader.rows<[name: string, types: string[], instances: number, versions: string[]]>(
      selectServices(scope),
      usage,
      signal,
    ),
    reader.rows<CoverageRow>(selectCoverage(scope, 'sum', whole), usage, signal),
    cpuTypes.length === 0
      ? []
      : reader.rows<CoverageRow>(selectCoverage({ ...scope, types: cpuTypes }, 'sum', whole), usage, signal),
    readMeta(context, scope, usage, signal),
  ])
  const lastSeen = new Map(seen.map(([[name = ''], , , , , endMs]) => [name, Math.min(endMs, context.now())]))
  const cores = new Map(
    cpu.map(([[name = ''], , , value, coveredMs]) => [
      name,
      coveredMs > 0 ? Number(value) / 1e6 / coveredMs : null,
    ]),
  )
  return {
    services: rows.map(([name, serviceTypes, instances, versions]) => ({
      name,
      types: serviceTypes,
      instances,
      versions,
      lastSeen: lastSeen.get(name) ?? 0,
      cores: cores.get(name) ?? null,
      ...(context.isDemo ? { demo: true } : {}),
    })),
    meta: finishMeta(meta, usage, startedAt, performance.now()),
  }
}
