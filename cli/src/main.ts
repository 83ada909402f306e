#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { CliError, type CommandContext, exitCodes } from './command.ts'
import { commands } from './registry.ts'

// The name in ps, and so the service that a profile of this host shows.
process.title = 'strobe'

const context: CommandContext = {
  env: process.env,
  print: text => process.stdout.write(`${text}\n`),
  note: text => process.stderr.write(`${text}\n`),
  isTerminal: process.stderr.isTTY === true,
  width: process.stdout.columns ?? Number.POSITIVE_INFINITY,
  setExitCode(code) {
    process.exitCode = code
  },
}

// `strobe top | head` ends the reader first.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

process.exitCode = await run(process.argv.slice(2))

async function run(args: string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const program = new Command('strobe')
    .description('Continuous profiling: one flame graph for every process of a fleet.')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .showHelpAfterError('(strobe COMMAND --help lists the options)')
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 failure, 2 wrong usage, 3 the server does not answer.\nSTROBE_URL names the server for commands that ask one (default http://localhost:4040).',
    )
  const wanted = args.find(arg => !arg.startsWith('-'))
  try {
    for (const entry of commands) {
      const command = program.command(entry.name).description(entry.summary).exitOverride()
      if (entry.name === wanted) (await entry.load()).configure(command, context)
    }
    if (args.length === 0) {
      program.outputHelp()
      return exitCodes.ok
    }
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? exitCodes.ok)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (error instanceof CliError) {
      context.note(`strobe: ${error.message}`)
      return error.exitCode
    }
    const coded = error as { code?: unknown; message?: string; stack?: string }
    // Errors with a code of ours are sentences; anything else is a bug and keeps its stack.
    const isExpected = typeof coded.code === 'string' && /^[A-Z]+(_[A-Z]+)+$/.test(coded.code)
    context.note(
      `strobe: ${isExpected ? `${coded.code as string}: ${coded.message}` : (coded.stack ?? String(error))}`,
    )
    return coded.code === 'CONFIG_INVALID' ? exitCodes.usage : exitCodes.failure
  }
}
