import { type ProfileType, parseProfileTypeId, type ValueKind, valueKindOf } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import { selectTypes } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { type RangeInput, resolveTypes } from './selection.ts'

export interface ProfileTypeInfo {
  id: string
  name: string
  sampleType: string
  unit: string
  periodType: string
  periodUnit: string
  kind: ValueKind
  title: string
}

export async function queryProfileTypes(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string },
  signal: AbortSignal | undefined,
): Promise<{ types: ProfileTypeInfo[] }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveTypes(context, tenant, input, usage, signal)
  if (scope?.types.length !== 0) return { types: (scope?.types ?? []).map(id => describeType(id)) }
  const rows = await context.reader.rows<[string]>(selectTypes(scope), usage, signal)
  return { types: rows.map(([id]) => describeType(id)) }
}

export function describeType(id: string): ProfileTypeInfo {
  const type = parseProfileTypeId(id)
  return {
    id,
    name: type.name,
    sampleType: type.sampleType,
    unit: type.sampleUnit,
    periodType: type.periodType,
    periodUnit: type.periodUnit,
    kind: valueKindOf(type),
    title: titles[type.sampleType] ?? type.sampleType,
  }
}

const titles: Record<string, string> = {
  cpu: 'CPU',
  off_cpu: 'Off-CPU',
  wall: 'Wall clock',
  time: 'Wall clock',
  alloc_space: 'Allocated bytes',
  alloc_objects: 'Allocated objects',
  inuse_space: 'Bytes in use',
  inuse_objects: 'Objects in use',
  goroutine: 'Goroutines',
  goroutines: 'Goroutines',
  contentions: 'Lock contentions',
  delay: 'Lock delay',
  samples: 'Samples',
  threads: 'Threads',
}

/** Nanoseconds of CPU. */
export function isCpu(type: ProfileType): boolean {
  return type.sampleType === 'cpu' && type.sampleUnit === 'nanoseconds'
}

/** Unit of a type's rate over time, and what a summed value is multiplied by to get there. */
export function rateUnit(type: ProfileType): { unit: string; factor: number } {
  if (type.sampleUnit === 'nanoseconds' && valueKindOf(type) !== 'gauge')
    return { unit: isCpu(type) ? 'cores' : 'seconds/s', factor: 1e-9 }
  const unit = type.sampleUnit || 'count'
  return { unit: valueKindOf(type) === 'gauge' ? unit : `${unit}/s`, factor: 1 }
}
