import { type Command, InvalidArgumentError } from 'commander'
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
import type { CommandContext } from '../command.ts'
import { type FunctionsAnswer, printFunctions } from '../function-table.ts'

interface Options extends ViewOptions, ServerOptions {
  from: string
  to: string
  type?: string
  sort: string
  n: number
  search?: string
}

export function configure(command: Command, context: CommandContext): void {
  addViewOptions(addRangeOptions(addServerOptions(command, context)))
    .argument('[selector]', 'series to take, such as {service_name="api"}', '{}')
    .option('--type <type>', 'profile type; cpu, unless the selector names one, as in memory{...}')
    .option('--sort <column>', 'self or total', 'self')
    .option('-n <count>', 'functions to list', readCount, 20)
    .option('--search <text>', 'only functions whose name or file contains it')
    .action(async (selector: string, options: Options) => {
      const answer = await createApiClient(options, context).get<FunctionsAnswer>('functions', {
        type: typeOf(selector, options.type),
        query: selector,
        from: options.from,
        to: options.to,
        sort: options.sort,
        limit: options.n,
        search: options.search,
        ...viewParameters(options),
      })
      if (options.json) context.print(JSON.stringify(answer, null, 2))
      else printFunctions(context, answer, options)
    })
}

export function readCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 10_000)
    throw new InvalidArgumentError('give a whole number from 1 to 10000.')
  return count
}
