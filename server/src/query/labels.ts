import { SAMPLE_LABEL_PREFIX } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import {
  selectSampleLabelNames,
  selectSampleLabelUnit,
  selectSampleLabelValues,
} from '../storage/select/sample-labels.ts'
import { isSampleLabel, sampleLabelName } from '../storage/select/statement.ts'
import { selectLabelNames, selectLabelValues } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { type RangeInput, resolveTypes } from './selection.ts'

const maxValues = 10_000

/**
 * Names of labels as selectors take them: those of series, and those of samples, which are led by `sample.` and
 * stand in quotes there: {"sample.thread"="main"}.
 */
export async function queryLabels(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string },
  signal: AbortSignal | undefined,
): Promise<{ labels: string[]; sampleLabels: string[] }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveTypes(context, tenant, input, usage, signal)
  if (scope === null) return { labels: [], sampleLabels: [] }
  const [rows, sampleRows] = await Promise.all([
    context.reader.rows<[string]>(selectLabelNames(scope), usage, signal),
    context.reader.rows<[string]>(selectSampleLabelNames(scope), usage, signal),
  ])
  return {
    labels: rows.map(([name]) => name),
    sampleLabels: sampleRows.map(([name]) => `${SAMPLE_LABEL_PREFIX}${name}`),
  }
}

/** omitted: values past the limit. unit: of a numeric label of samples, '' when it has none; null for text. */
export async function queryLabelValues(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string; name: string },
  signal: AbortSignal | undefined,
): Promise<{ values: string[]; omitted: number; unit: string | null }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = await resolveTypes(context, tenant, input, usage, signal)
  if (scope === null) return { values: [], omitted: 0, unit: null }
  const statement = isSampleLabel(input.name)
    ? selectSampleLabelValues(scope, sampleLabelName(input.name), maxValues)
    : selectLabelValues(scope, input.name, maxValues)
  const [rows, [unit]] = await Promise.all([
    context.reader.rows<[value: string, count: number]>(statement, usage, signal),
    isSampleLabel(input.name)
      ? context.reader.rows<[unit: string]>(
          selectSampleLabelUnit(tenant, sampleLabelName(input.name)),
          usage,
          signal,
        )
      : [],
  ])
  return {
    values: rows.map(([value]) => value),
    omitted: (rows[0]?.[1] ?? 0) - rows.length,
    unit: unit?.[0] ?? null,
  }
}
