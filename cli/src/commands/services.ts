import { formatValue } from '@strobe/profile'
import type { Command } from 'commander'
import { addRangeOptions, addServerOptions, createApiClient } from '../api-client.ts'
import type { CommandContext } from '../command.ts'
import { formatTable } from '../table.ts'

interface Answer {
  services: {
    name: string
    types: string[]
    instances: number
    versions: string[]
    lastSeen: number
    cores: number | null
  }[]
}

export function configure(command: Command, context: CommandContext): void {
  addRangeOptions(addServerOptions(command, context))
  command.action(async (options: { server: string; json?: boolean; from: string; to: string }) => {
    const answer = await createApiClient(options, context).get<Answer>('services', {
      from: options.from,
      to: options.to,
    })
    if (options.json) {
      context.print(JSON.stringify(answer, null, 2))
      return
    }
    if (answer.services.length === 0) {
      context.note(`No service sent profiles between ${options.from} and ${options.to}.`)
      return
    }
    const rows = answer.services
      .sort((a, b) => (b.cores ?? -1) - (a.cores ?? -1))
      .map(service => [
        service.name,
        service.cores === null ? '' : formatValue(service.cores, 'cores'),
        String(service.instances),
        new Date(service.lastSeen).toISOString().slice(0, 19).replace('T', ' '),
        service.versions.join(' '),
        [...new Set(service.types.map(type => type.split(':')[1]))].join(' '),
      ])
    context.print(
      formatTable(
        [
          { title: 'SERVICE' },
          { title: 'CPU', isNumber: true },
          { title: 'INSTANCES', isNumber: true },
          { title: 'LAST SEEN (UTC)' },
          { title: 'VERSIONS' },
          { title: 'TYPES' },
        ],
        rows,
        context.width,
      ),
    )
  })
}
