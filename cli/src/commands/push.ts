import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { formatValue } from '@strobe/profile'
import { type Command, InvalidArgumentError } from 'commander'
import { addServerOptions, createApiClient } from '../api-client.ts'
import { CliError, type CommandContext, exitCodes } from '../command.ts'
import { createProgress } from '../progress.ts'
import { formatTable } from '../table.ts'

const parallel = 8

interface Options {
  server: string
  json?: boolean
  service?: string
  name?: string
  label: Record<string, string>
  keepTime?: boolean
}

interface Answer {
  profiles: { type: string; samples: number; total: string }[]
  batchId: string
  retimed: boolean
  originalTime?: string
}

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command, context)
    .argument('<files...>', 'pprof profiles, gzip or not')
    .option('--service <name>', 'service they belong to (else the name of the file)')
    .option('--name <name>', 'first part of the profile type, such as process_cpu')
    .option('--label <name=value>', 'a label to add; may be given again', addLabel, {})
    .option(
      '--keep-time',
      'refuse a profile whose time is outside the accepted window, instead of dating it now',
    )
    .action(async (files: string[], options: Options) => {
      const client = createApiClient(options, context)
      const progress = createProgress(context)
      const sent: (Answer & { file: string })[] = []
      const failures: { file: string; error: string }[] = []
      let done = 0
      const send = async (file: string) => {
        try {
          const bytes = new Uint8Array(await readFile(file))
          const parameters: Record<string, string> = { source: basename(file) }
          if (options.service) parameters.service = options.service
          if (options.name) parameters.name = options.name
          if (options.keepTime) parameters.keepTime = '1'
          for (const [name, value] of Object.entries(options.label)) parameters[`label.${name}`] = value
          sent.push({ file, ...(await client.post<Answer>('profiles', parameters, bytes)) })
        } catch (error) {
          // Without a server the other files would fail the same way.
          if (error instanceof CliError && error.exitCode === exitCodes.unreachable) throw error
          failures.push({ file, error: (error as Error).message })
        }
        progress.update(++done, files.length, 'sending profiles')
      }
      // The server stores what arrives together in one go.
      for (let start = 0; start < files.length; start += parallel)
        await Promise.all(files.slice(start, start + parallel).map(send))
      sent.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file))
      progress.end()
      report(context, options, sent, failures)
      if (failures.length > 0) context.setExitCode(exitCodes.failure)
    })
}

function report(
  context: CommandContext,
  options: Options,
  sent: (Answer & { file: string })[],
  failures: { file: string; error: string }[],
): void {
  if (options.json) {
    context.print(JSON.stringify({ sent, failures }, null, 2))
    return
  }
  const rows = sent.flatMap(({ file, profiles, retimed, originalTime }) =>
    profiles.map(({ type, samples, total }) => [
      formatValue(Number(total), type.split(':')[2] ?? ''),
      String(samples),
      type.split(':').slice(0, 2).join(':'),
      retimed ? `now, was ${originalTime?.slice(0, 19)}` : 'kept',
      basename(file),
    ]),
  )
  if (rows.length > 0)
    context.print(
      formatTable(
        [
          { title: 'TOTAL', isNumber: true },
          { title: 'STACKS', isNumber: true },
          { title: 'TYPE' },
          { title: 'TIME' },
          { title: 'FILE' },
        ],
        rows,
        context.width,
      ),
    )
  for (const { file, error } of failures) context.note(`strobe: ${file}: ${error}`)
}

function addLabel(text: string, labels: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('write it as name=value.')
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) }
}
