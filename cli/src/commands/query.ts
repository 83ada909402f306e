import { writeFile } from 'node:fs/promises'
import { formatValue } from '@strobe/profile'
import type { Command } from 'commander'
import {
  addRangeOptions,
  addServerOptions,
  addViewOptions,
  createApiClient,
  type ServerOptions,
  typeOf,
  type ViewOptions,
  viewParameters,
} from '../api-client.ts'
import { CliError, type CommandContext, exitCodes } from '../command.ts'
import { type FunctionsAnswer, printFunctions } from '../function-table.ts'
import { withElapsed } from '../progress.ts'
import { formatTable } from '../table.ts'

interface Options extends ViewOptions, ServerOptions {
  from: string
  to: string
  type?: string
  by: string
  output?: string
  format?: string
}

interface SeriesAnswer {
  unit: string
  series: { labels: Record<string, string>; points: [ms: number, value: number | null][] }[]
}

const formatOfName: [RegExp, string][] = [
  [/\.(pb(\.gz)?|pprof|prof)$/i, 'pprof'],
  [/\.(folded|collapsed|txt)$/i, 'folded'],
  [/\.speedscope(\.json)?$/i, 'speedscope'],
  [/\.json$/i, 'json'],
]

export function configure(command: Command, context: CommandContext): void {
  addViewOptions(addRangeOptions(addServerOptions(command, context)))
    .argument('[selector]', 'series to take, such as {service_name="api"}', '{}')
    .option('--type <type>', 'profile type; cpu, unless the selector names one, as in memory{...}')
    .option(
      '--by <labels>',
      'labels to list by, comma-separated, without --output, --group, --focus and --hide',
      'service_name',
    )
    .option(
      '-o, --output <file>',
      'save as one profile: .pb.gz, .folded, .speedscope.json or .json; - is standard output',
    )
    .option('--format <format>', 'pprof, folded, speedscope or json, when the name does not tell')
    .action(async (selector: string, options: Options) => {
      const client = createApiClient(options, context)
      const type = typeOf(selector, options.type)
      const selection = { type, query: selector, from: options.from, to: options.to }
      const view = viewParameters(options)
      if (options.output === undefined && options.format === undefined) {
        if (Object.values(view).some(value => value !== undefined)) {
          const answer = await client.get<FunctionsAnswer>('functions', { ...selection, ...view, limit: 20 })
          if (options.json) context.print(JSON.stringify(answer, null, 2))
          else printFunctions(context, answer, options)
          return
        }
        const answer = await client.get<SeriesAnswer>('series', { ...selection, by: options.by })
        context.print(
          options.json ? JSON.stringify(answer, null, 2) : formatSeries(answer, options.by, context.width),
        )
        return
      }
      const output = options.output ?? '-'
      const format = options.format ?? formatOfName.find(([name]) => name.test(output))?.[1]
      if (format === undefined)
        throw new CliError(
          `${output} does not say which format it is; end it in .pb.gz, .folded, .speedscope.json or .json, or give --format`,
          exitCodes.usage,
        )
      const bytes = await withElapsed(
        context,
        'reading profiles',
        client.getBytes('profile', { ...selection, ...view, format }),
      )
      if (output === '-') {
        process.stdout.write(bytes)
        return
      }
      await writeFile(output, bytes)
      if (options.json) context.print(JSON.stringify({ file: output, format, bytes: bytes.length }))
      else
        context.note(
          `${output}: ${formatValue(bytes.length, 'bytes')}${format === 'pprof' ? `; go tool pprof -top ${output} reads it` : ''}`,
        )
    })
}

function formatSeries({ unit, series }: SeriesAnswer, by: string, width: number): string {
  const names = by.split(',').filter(name => name !== '')
  const rows = series.map(({ labels, points }) => {
    const values = points.flatMap(([, value]) => (value === null ? [] : [value]))
    const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
    return [
      formatValue(mean, unit),
      formatValue(Math.max(...values), unit),
      formatValue(values.at(-1) ?? 0, unit),
      ...names.map(name => labels[name] ?? ''),
    ]
  })
  return formatTable(
    [
      { title: 'MEAN', isNumber: true },
      { title: 'MOST', isNumber: true },
      { title: 'LAST', isNumber: true },
      ...names.map(name => ({ title: name.toUpperCase() })),
    ],
    rows,
    width,
  )
}
