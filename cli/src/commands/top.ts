import { formatShare, formatValue } from '@strobe/profile'
import { type Command, InvalidArgumentError } from 'commander'
import { addRangeOptions, addServerOptions, createApiClient } from '../api-client.ts'
import type { CommandContext } from '../command.ts'
import { formatTable } from '../table.ts'

interface Answer {
  unit: string
  total: number
  functions: { name: string; file: string; module: string; kind: string; self: number; total: number }[]
  omitted: { functions: number; self: number }
  meta: { profiles: number; missingMinutes: number; minutes: number; expected: number; lost: number }
}

interface Options {
  server: string
  json?: boolean
  from: string
  to: string
  type: string
  sort: string
  n: number
  search?: string
}

export function configure(command: Command, context: CommandContext): void {
  addRangeOptions(addServerOptions(command, context))
    .argument('[selector]', 'series to take, such as {service_name="api"}', '{}')
    .option('--type <type>', 'profile type', 'cpu')
    .option('--sort <column>', 'self or total', 'self')
    .option('-n <count>', 'functions to list', readCount, 20)
    .option('--search <text>', 'only functions whose name or file contains it')
    .action(async (selector: string, options: Options) => {
      const answer = await createApiClient(options, context).get<Answer>('functions', {
        type: options.type,
        query: selector,
        from: options.from,
        to: options.to,
        sort: options.sort,
        limit: options.n,
        search: options.search,
      })
      if (options.json) {
        context.print(JSON.stringify(answer, null, 2))
        return
      }
      const { meta, total, unit } = answer
      context.note(
        `${formatValue(total, unit)} in ${meta.profiles} profiles${
          meta.missingMinutes > 0 ? `, ${meta.missingMinutes} of ${meta.minutes} minutes without any` : ''
        }${meta.lost > 0 ? `, ${meta.lost} of ${meta.expected} samples lost` : ''}`,
      )
      context.print(formatFunctions(answer, context.width))
      if (answer.omitted.functions > 0)
        context.note(
          `${answer.omitted.functions} more functions, ${formatShare(answer.omitted.self / (total || 1))} of self`,
        )
    })
}

function formatFunctions({ functions, total, unit }: Answer, width: number): string {
  return formatTable(
    [
      { title: 'SELF', isNumber: true },
      { title: 'SELF%', isNumber: true },
      { title: 'TOTAL', isNumber: true },
      { title: 'TOTAL%', isNumber: true },
      { title: 'MODULE' },
      { title: 'FUNCTION' },
    ],
    functions.map(row => [
      formatValue(row.self, unit),
      formatShare(row.self / (total || 1)),
      formatValue(row.total, unit),
      formatShare(row.total / (total || 1)),
      row.module,
      row.name,
    ]),
    width,
  )
}

export function readCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 10_000)
    throw new InvalidArgumentError('give a whole number from 1 to 10000.')
  return count
}
