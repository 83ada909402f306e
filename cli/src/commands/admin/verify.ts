import { formatValue } from '@strobe/profile'
import type { Command } from 'commander'
import type { CommandContext } from '../../command.ts'
import { createProgress } from '../../progress.ts'

export function configure(command: Command, context: CommandContext): void {
  command
    .argument('<folder>', 'the backup')
    .option('--json', 'print the answer as JSON')
    .action(async (folder: string, options: { json?: boolean }) => {
      const { verifyBackup } = await import('@strobe/server/restore')
      const progress = createProgress(context)
      const manifest = await verifyBackup(folder, (done, total) =>
        progress.update(done, total, 'read'),
      ).finally(() => progress.end())
      const { version, createdAt, migrations, identityRule } = manifest
      const tables = manifest.tables.map(({ name, rows, files }) => ({
        name,
        rows,
        files: files.length,
        bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      }))
      if (options.json) {
        context.print(JSON.stringify({ version, createdAt, migrations, identityRule, tables }, null, 2))
        return
      }
      const files = tables.reduce((sum, table) => sum + table.files, 0)
      const bytes = tables.reduce((sum, table) => sum + table.bytes, 0)
      context.print(
        `whole: ${files} files, ${formatValue(bytes, 'bytes')}, made ${createdAt} by version ${version}, schema ${migrations.at(-1)}`,
      )
    })
}
