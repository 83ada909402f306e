import type { Command } from 'commander'
import { CliError, type CommandContext, exitCodes } from '../../command.ts'

/** Prints; asks no server. */
export function configure(command: Command, context: CommandContext): void {
  command
    .requiredOption('--cluster <name>', 'name of the cluster in the configuration of ClickHouse')
    .action(async (options: { cluster: string }) => {
      const { clusterDdl, clusterSettings } = await import('@strobe/server/cluster-ddl')
      let statements: string[]
      try {
        statements = clusterDdl(options.cluster)
      } catch (error) {
        throw new CliError((error as Error).message, exitCodes.usage)
      }
      const settings = Object.entries(clusterSettings).map(([name, value]) => `${name} = ${value}`)
      context.print(`-- The schema of Strobe for the cluster ${options.cluster}: run it once, on one node, in a new database.
-- Macros shard and replica must be set on every node. The server's user needs:
--   ALTER USER strobe SETTINGS ${settings.join(', ')};
${statements.map(statement => `${statement.trim()};`).join('\n\n')}`)
    })
}
