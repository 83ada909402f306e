import { parseProfileTypeId } from '@strobe/profile'
import type { ReadUsage } from '../storage/select/reader.ts'
import { selectPeriods } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'
import { finishMeta, readMeta } from './coverage.ts'
import { resolveSelection, type SelectionInput } from './selection.ts'
import type { ExportFormat } from './tree/protocol.ts'
import { buildFromSums, checkView, readStackSums, rootLabel, type View } from './trees.ts'

export interface ExportedFile {
  name: string
  contentType: string
  bytes: Uint8Array
}

const fileKinds: Record<ExportFormat, { ending: string; contentType: string }> = {
  pprof: { ending: 'pb.gz', contentType: 'application/octet-stream' },
  folded: { ending: 'folded.txt', contentType: 'text/plain; charset=utf-8' },
  speedscope: { ending: 'speedscope.json', contentType: 'application/json' },
  json: { ending: 'json', contentType: 'application/json' },
}

/** A selection as one file; the tree of the JSON form is not pruned. */
export async function queryExport(
  context: QueryContext,
  tenant: string,
  input: SelectionInput & View & { format: ExportFormat },
  signal: AbortSignal | undefined,
): Promise<ExportedFile> {
  const startedAt = performance.now()
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  checkView(input)
  const scope = await resolveSelection(context, tenant, input, usage, signal)
  const type = parseProfileTypeId(scope.type)
  const [sums, meta, periods] = await Promise.all([
    readStackSums(context, scope, rootLabel(input), usage, signal),
    readMeta(context, scope, usage, signal),
    context.reader.rows<[period: string]>(selectPeriods(scope), usage, signal),
  ])
  const name =
    `${type.name}-${type.sampleType}-${new Date(meta.from).toISOString().replaceAll(/[:.]/g, '')}`.replaceAll(
      /[^\w.-]/g,
      '_',
    )
  const facts = {
    name,
    type: scope.type,
    fromMs: meta.from,
    toMs: meta.to,
    coveredSeconds: meta.coveredSeconds,
    period: periods[0]?.[0] ?? '0',
  }
  const work = { kind: 'file', format: input.format, facts } as const
  const { bytes } = await buildFromSums(context, scope, sums, input, work, usage, signal)
  const { ending, contentType } = fileKinds[input.format]
  const file = { name: `${name}.${ending}`, contentType }
  if (input.format !== 'json') return { ...file, bytes }
  const end = `,"meta":${JSON.stringify(finishMeta(meta, usage, startedAt, performance.now()))}}`
  return { ...file, bytes: Buffer.concat([bytes, Buffer.from(end)]) }
}
