import type { Command } from 'commander'
import { addServerOptions, createApiClient, type ServerOptions } from '../../api-client.ts'
import type { CommandContext } from '../../command.ts'
import { formatTable } from '../../table.ts'

interface Answer {
  tenants: { name: string; keys: number; settings: Record<string, string> }[]
}

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command, context).action(async (options: ServerOptions) => {
    const answer = await createApiClient(options, context).get<Answer>('admin/tenants')
    if (options.json) {
      context.print(JSON.stringify(answer, null, 2))
      return
    }
    const rows = answer.tenants.map(({ name, keys, settings }) => [
      name,
      String(keys),
      Object.entries(settings)
        .map(([setting, value]) => `${setting}=${value}`)
        .join(' '),
    ])
    context.print(
      formatTable(
        [{ title: 'TENANT' }, { title: 'KEYS', isNumber: true }, { title: 'SETTINGS OF ITS OWN' }],
        rows,
        context.width,
      ),
    )
  })
}
