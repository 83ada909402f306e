import type { Command } from 'commander'
import { addRangeOptions, addServerOptions, createApiClient } from '../api-client.ts'
import type { CommandContext } from '../command.ts'

interface Options {
  server: string
  json?: boolean
  from: string
  to: string
  query: string
}

export function configure(command: Command, context: CommandContext): void {
  addRangeOptions(addServerOptions(command, context))
    .argument('[name]', 'a label: prints its values')
    .option('--query <selector>', 'only series that match, such as {service_name="api"}', '{}')
    .action(async (name: string | undefined, options: Options) => {
      const client = createApiClient(options, context)
      const parameters = { query: options.query, from: options.from, to: options.to }
      if (name === undefined) {
        const answer = await client.get<{ labels: string[]; sampleLabels: string[] }>('labels', parameters)
        const names = [...answer.labels, ...answer.sampleLabels]
        context.print(options.json ? JSON.stringify(answer, null, 2) : names.join('\n'))
        return
      }
      const path = `labels/${encodeURIComponent(name)}/values`
      const answer = await client.get<{ values: string[]; omitted: number }>(path, parameters)
      if (!options.json && answer.values.length === 0) context.note(`No series has a label ${name}.`)
      else context.print(options.json ? JSON.stringify(answer, null, 2) : answer.values.join('\n'))
      if (answer.omitted > 0) context.note(`${answer.omitted} more values are not shown.`)
    })
}
