import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { CommandContext } from '../../command.ts'
import { createProgress } from '../../progress.ts'

export function configure(command: Command, context: CommandContext): void {
  command
    .argument('<folder>', 'the backup')
    .requiredOption('--data <dir>', 'data folder to make; it must hold no store')
    .action(async (folder: string, options: { data: string }) => {
      const { restoreDataFolder } = await import('@strobe/server/restore')
      const progress = createProgress(context)
      const manifest = await restoreDataFolder({
        backup: resolve(folder),
        dataDir: resolve(options.data),
        log: {
          info() {},
          warn: (facts, message) => context.note(`${message} ${JSON.stringify(facts)}`),
          error: (facts, message) => context.note(`${message} ${JSON.stringify(facts)}`),
        },
        onProgress: (step, done, total) => progress.update(done, total, step),
      }).finally(() => progress.end())
      const rows = manifest.tables.find(table => table.name === 'profiles')?.rows ?? 0
      context.note(
        `Restored ${rows} profiles of ${manifest.createdAt}. strobe server --data ${options.data} serves them.`,
      )
    })
}
