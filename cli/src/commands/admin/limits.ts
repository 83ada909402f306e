import type { Command } from 'commander'
import { addServerOptions, createApiClient, type ServerOptions } from '../../api-client.ts'
import type { CommandContext } from '../../command.ts'
import { formatTable } from '../../table.ts'

interface Answer {
  name: string
  settings: { name: string; value: string; isDefault: boolean; sentence: string }[]
}

type Options = ServerOptions & { tenant: string }

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command, context)
    .option('--tenant <name>', 'the tenant', 'default')
    .argument('[name]', 'the limit to set')
    .argument('[value]', 'its value, such as 16MiB, 30d or 5000; "default" takes it back')
    .action(async (name: string | undefined, value: string | undefined, options: Options) => {
      const client = createApiClient(options, context)
      const path = `admin/tenants/${encodeURIComponent(options.tenant)}`
      const answer =
        name === undefined || value === undefined
          ? await client.get<Answer>(path)
          : await client.send<Answer>('PUT', `${path}/settings/${encodeURIComponent(name)}`, {
              value: value === 'default' ? '' : value,
            })
      const settings =
        name === undefined ? answer.settings : answer.settings.filter(each => each.name === name)
      if (options.json) context.print(JSON.stringify({ ...answer, settings }, null, 2))
      else
        context.print(
          formatTable(
            [{ title: 'LIMIT' }, { title: 'VALUE', isNumber: true }, { title: '' }, { title: 'MEANING' }],
            settings.map(each => [each.name, each.value, each.isDefault ? 'default' : 'set', each.sentence]),
            context.width,
          ),
        )
    })
}
