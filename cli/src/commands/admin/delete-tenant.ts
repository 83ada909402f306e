import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { addServerOptions, createApiClient, type ServerOptions } from '../../api-client.ts'
import { CliError, type CommandContext, exitCodes } from '../../command.ts'
import { createProgress } from '../../progress.ts'

interface Deletion {
  tenant: string
  askedAt: number
  doneAt: number | null
}

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command, context)
    .argument('<tenant>', 'the tenant')
    .option('--yes', 'do it: its keys end, and all its profiles and settings go for ever')
    .action(async (tenant: string, options: ServerOptions & { yes?: boolean }) => {
      if (!options.yes)
        throw new CliError(
          `this ends the keys of tenant ${tenant} and removes all its profiles and settings for ever; add --yes to do it`,
          exitCodes.usage,
        )
      const client = createApiClient(options, context)
      const path = `admin/tenants/${encodeURIComponent(tenant)}`
      let deletion = await client.send<Deletion>('DELETE', path, {})
      const progress = createProgress(context)
      while (deletion.doneAt === null) {
        progress.update(0, 0, 'removing rows; it goes on by itself if you stop waiting')
        await sleep(300)
        deletion = await client.get<Deletion>(`${path}/deletion`)
      }
      progress.end()
      if (options.json) context.print(JSON.stringify(deletion, null, 2))
      else context.note(`Tenant ${tenant} is deleted.`)
    })
}
