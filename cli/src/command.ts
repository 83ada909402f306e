import type { Command } from 'commander'

/** Exit codes of every command; the last two only of diff. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, unreachable: 3, rule: 4, incomparable: 5 } as const

/** A failure that is told in one line and ends the command with its exit code. */
export class CliError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number = exitCodes.failure, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CliError'
    this.exitCode = exitCode
  }
}

/** What a command may touch of the world. */
export interface CommandContext {
  env: Record<string, string | undefined>
  /** Writes results. */
  print(text: string): void
  /** Writes what is no result: progress, hints. */
  note(text: string): void
  /** Whether notes go to a terminal. */
  isTerminal: boolean
  /** Columns of the terminal results go to; Infinity when they go to a file or pipe. */
  width: number
  setExitCode(code: number): void
}

/** A module in commands/ exports `configure`, which adds options, arguments and the action to a command. */
export interface CommandModule {
  configure(command: Command, context: CommandContext): void
}

export interface CommandEntry {
  name: string
  summary: string
  load(): Promise<CommandModule>
}
