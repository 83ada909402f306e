import type { Command } from 'commander'
import type { CommandContext } from '../command.ts'
import { adminCommands } from './admin/index.ts'

export function configure(command: Command, context: CommandContext): void {
  command.addHelpText(
    'after',
    `
On the server's own machine these need no key: the server leaves a token for its user in the data folder
(STROBE_DATA, .strobe here). From elsewhere they take an admin key as STROBE_TOKEN or --token-file.`,
  )
  for (const entry of adminCommands)
    entry.configure(command.command(entry.name).description(entry.summary), context)
}
