import { type Command, Option } from 'commander'
import { addServerOptions, createApiClient, type ServerOptions } from '../../api-client.ts'
import type { CommandContext } from '../../command.ts'
import { formatTable } from '../../table.ts'

interface Key {
  id: string
  tenant: string
  role: string
  note: string
  createdAt: number
  revokedAt: number | null
}

type CreateOptions = ServerOptions & { tenant?: string; role: string; note?: string }

export function configure(command: Command, context: CommandContext): void {
  addServerOptions(command.command('create').description('make a key; it is shown once'), context)
    .option('--tenant <name>', 'the tenant it belongs to (default: your own)')
    .addOption(
      new Option('--role <role>', 'what it allows')
        .choices(['ingest', 'read', 'admin'])
        .makeOptionMandatory(),
    )
    .option('--note <text>', 'who or what it is for')
    .action((options: CreateOptions) => create(options, context))
  addServerOptions(command.command('list').description('list keys, never their tokens'), context)
    .option('--tenant <name>', 'only keys of this tenant')
    .action((options: ServerOptions & { tenant?: string }) => list(options, context))
  addServerOptions(command.command('revoke').description('end a key'), context)
    .argument('<id>', 'as strobe admin keys list shows it')
    .action(async (id: string, options: ServerOptions) => {
      const key = await createApiClient(options, context).send<Key>(
        'DELETE',
        `admin/keys/${encodeURIComponent(id)}`,
        {},
      )
      if (options.json) context.print(JSON.stringify(key, null, 2))
      else context.note(`Key ${key.id} of tenant ${key.tenant} is revoked.`)
    })
}

async function create(options: CreateOptions, context: CommandContext): Promise<void> {
  const { tenant, role, note } = options
  const key = await createApiClient(options, context).send<Key & { token: string }>('POST', 'admin/keys', {
    role,
    tenant,
    note,
  })
  if (options.json) {
    context.print(JSON.stringify(key, null, 2))
    return
  }
  context.print(key.token)
  context.note(
    `Key ${key.id}: role ${key.role} in tenant ${key.tenant}. It is not shown again. Agents and the CLI take it as STROBE_TOKEN or from a file named by --token-file.`,
  )
}

async function list(options: ServerOptions & { tenant?: string }, context: CommandContext): Promise<void> {
  const answer = await createApiClient(options, context).get<{ keys: Key[] }>('admin/keys', {
    tenant: options.tenant,
  })
  if (options.json) {
    context.print(JSON.stringify(answer, null, 2))
    return
  }
  if (answer.keys.length === 0) {
    context.note('There are no keys. strobe admin keys create --role admin makes the first.')
    return
  }
  const time = (ms: number) => new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
  context.print(
    formatTable(
      [
        { title: 'ID' },
        { title: 'TENANT' },
        { title: 'ROLE' },
        { title: 'MADE (UTC)' },
        { title: 'STATE' },
        { title: 'NOTE' },
      ],
      answer.keys.map(key => [
        key.id,
        key.tenant,
        key.role,
        time(key.createdAt),
        key.revokedAt === null ? 'good' : `revoked ${time(key.revokedAt)}`,
        key.note,
      ]),
      context.width,
    ),
  )
}
