import type { ReadUsage } from '../storage/select/reader.ts'
import { selectLabelNames, selectLabelValues } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { type RangeInput, resolveMatchers, resolveRange } from './selection.ts'

const maxValues = 10_000

export async function queryLabels(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string },
  signal: AbortSignal | undefined,
): Promise<{ labels: string[] }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const rows = await context.reader.rows<[string]>(
    selectLabelNames(scopeOf(context, tenant, input)),
    usage,
    signal,
  )
  return { labels: rows.map(([name]) => name) }
}

export async function queryLabelValues(
  context: QueryContext,
  tenant: string,
  input: RangeInput & { query: string; name: string },
  signal: AbortSignal | undefined,
): Promise<{ values: string[] }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const scope = scopeOf(context, tenant, input)
  const rows = await context.reader.rows<[string]>(
    selectLabelValues(scope, input.name, maxValues),
    usage,
    signal,
  )
  return { values: rows.map(([value]) => value) }
}

function scopeOf(context: QueryContext, tenant: string, input: RangeInput & { query: string }) {
  return {
    tenant,
    types: [],
    range: resolveRange(input, context.now()),
    matchers: resolveMatchers(input.query),
  }
}
