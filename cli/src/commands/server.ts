import { readConfig, type ServerConfig, serverOptions } from '@strobe/server'
import type { Command } from 'commander'
import { displayUrl } from '../api-client.ts'
import type { CommandContext } from '../command.ts'

/** Options of the server, from its own list of settings. */
export function addServerConfigOptions(command: Command, leaveOut: (keyof ServerConfig)[] = []): Command {
  for (const option of serverOptions) {
    if (leaveOut.includes(option.key)) continue
    const flag = option.type === 'boolean' ? `--${option.flag}` : `--${option.flag} <${option.type}>`
    command.option(flag, `${option.sentence} (${option.variable})`)
  }
  return command
}

/** Values of those options by the key of the setting; commander names them after the flag. */
export function readServerFlags(
  given: Record<string, unknown>,
): Partial<Record<keyof ServerConfig, unknown>> {
  const flags: Partial<Record<keyof ServerConfig, unknown>> = {}
  for (const option of serverOptions) {
    const name = option.flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    if (given[name] !== undefined) flags[option.key] = given[name]
  }
  return flags
}

export function configure(command: Command, context: CommandContext): void {
  addServerConfigOptions(command)
  command.action(async (given: Record<string, unknown>) => {
    const config = readConfig(readServerFlags(given), context.env)
    const { serveUntilSignal } = await import('@strobe/server/main')
    let exitCode: number
    try {
      exitCode = await serveUntilSignal(config, server => {
        const ready = { type: 'ready', url: server.url, grpcAddress: server.grpcAddress }
        if (process.send) process.send(ready)
        else
          context.note(
            `Strobe is on ${displayUrl(server.url)}, agents send to ${server.grpcAddress}. Ctrl-C ends it.`,
          )
      })
    } catch (error) {
      // The channel to `strobe up` would keep a server alive that did not start.
      if (process.connected) process.disconnect()
      throw error
    }
    // Handles of libraries must not keep a server alive that has stored everything.
    process.exit(exitCode)
  })
}
