import { setTimeout as sleep } from 'node:timers/promises'
import { formatValue } from '@strobe/profile'
import type { Command } from 'commander'
import { type ApiClient, addServerOptions, createApiClient, type ServerOptions } from '../../api-client.ts'
import { CliError, type CommandContext } from '../../command.ts'
import { createProgress } from '../../progress.ts'
import { formatTable } from '../../table.ts'

interface Backup {
  name: string
  folder: string
  state: 'running' | 'done' | 'failed'
  createdAt: string
  files: number
  bytes: number
  reason: string
}

type Options = ServerOptions & { list?: boolean }

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command, context)
    .argument('[name]', "name of the backup's folder below the server's STROBE_BACKUPS (default: the time)")
    .option('--list', 'list the backups that are there instead')
    .action(async (name: string | undefined, options: Options) => {
      const client = createApiClient(options, context)
      if (options.list) {
        await list(client, options, context)
        return
      }
      const begun = await client.send<Backup>('POST', 'admin/backups', { name })
      const done = await waitFor(client, begun.name, context)
      if (options.json) context.print(JSON.stringify(done, null, 2))
      else {
        context.print(done.folder)
        context.note(
          `${done.files} files, ${formatValue(done.bytes, 'bytes')}. Copy the folder elsewhere, and check the copy with strobe admin verify.`,
        )
      }
    })
}

async function waitFor(client: ApiClient, name: string, context: CommandContext): Promise<Backup> {
  const progress = createProgress(context)
  try {
    for (;;) {
      const { backups } = await client.get<{ backups: Backup[] }>('admin/backups')
      const backup = backups.find(each => each.name === name)
      if (!backup) throw new CliError(`the server knows no backup ${name} any more; was it started again?`)
      if (backup.state === 'failed') throw new CliError(backup.reason)
      if (backup.state === 'done') return backup
      progress.update(0, 0, `copied ${formatValue(backup.bytes, 'bytes')}`)
      await sleep(200)
    }
  } finally {
    progress.end()
  }
}

async function list(client: ApiClient, options: Options, context: CommandContext): Promise<void> {
  const answer = await client.get<{ backups: Backup[] }>('admin/backups')
  if (options.json) {
    context.print(JSON.stringify(answer, null, 2))
    return
  }
  context.print(
    formatTable(
      [
        { title: 'BACKUP' },
        { title: 'MADE (UTC)' },
        { title: 'STATE' },
        { title: 'SIZE', isNumber: true },
        { title: 'FOLDER' },
      ],
      answer.backups.map(({ name, createdAt, state, bytes, folder, reason }) => [
        name,
        createdAt.slice(0, 19).replace('T', ' '),
        state,
        formatValue(bytes, 'bytes'),
        reason || folder,
      ]),
      context.width,
    ),
  )
}
