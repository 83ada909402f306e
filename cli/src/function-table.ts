import { formatShare, formatValue } from '@strobe/profile'
import type { ViewOptions } from './api-client.ts'
import type { CommandContext } from './command.ts'
import { formatTable } from './table.ts'

/** The answer of GET functions. */
export interface FunctionsAnswer {
  unit: string
  /** Of the stacks that focus leaves. */
  total: number
  whole: number
  functions: { name: string; file: string; module: string; kind: string; self: number; total: number }[]
  omitted: { functions: number; self: number }
  meta: { profiles: number; missingMinutes: number; minutes: number; expected: number; lost: number }
}

/** Functions, or what they are grouped by, on standard output; what they are a part of, beside it. */
export function printFunctions(context: CommandContext, answer: FunctionsAnswer, view: ViewOptions): void {
  const { meta, total, whole, unit, omitted } = answer
  if (view.focus !== undefined)
    context.note(
      `${formatValue(total, unit)} of ${formatValue(whole, unit)} pass through ${view.focus} (${formatShare(total / (whole || 1))})`,
    )
  context.note(
    `${formatValue(total, unit)} in ${meta.profiles} profiles${
      meta.missingMinutes > 0 ? `, ${meta.missingMinutes} of ${meta.minutes} minutes without any` : ''
    }${meta.lost > 0 ? `, ${meta.lost} of ${meta.expected} samples lost` : ''}`,
  )
  context.print(formatFunctions(answer, view.group ?? 'function', context.width))
  if (omitted.functions > 0)
    context.note(`${omitted.functions} more, ${formatShare(omitted.self / (total || 1))} of self`)
}

function formatFunctions({ functions, total, unit }: FunctionsAnswer, group: string, width: number): string {
  const hasModules = group === 'function' || group === 'line'
  return formatTable(
    [
      { title: 'SELF', isNumber: true },
      { title: 'SELF%', isNumber: true },
      { title: 'TOTAL', isNumber: true },
      { title: 'TOTAL%', isNumber: true },
      ...(hasModules ? [{ title: 'MODULE' }] : []),
      { title: group.replace(/^label:/, '').toUpperCase() },
    ],
    functions.map(row => [
      formatValue(row.self, unit),
      formatShare(row.self / (total || 1)),
      formatValue(row.total, unit),
      formatShare(row.total / (total || 1)),
      ...(hasModules ? [row.module] : []),
      row.name,
    ]),
    width,
  )
}
