import { agentOptions, parseAgentConfig, startAgent } from '@strobe/agent'
import type { Command } from 'commander'
import { type CommandContext, exitCodes } from '../command.ts'

/** Between the agent and the process that starts it, not for people. */
const internalOptions = new Set(['output', 'isAttached', 'target'])

export function configure(command: Command, context: CommandContext): void {
  for (const option of agentOptions) {
    if (internalOptions.has(option.key)) continue
    const unit = option.unit ? ` in ${option.unit}` : ''
    const help = `${option.sentence} (${option.variable}${unit}, default ${option.default === '' ? 'none' : option.default})`
    if (option.type !== 'boolean') command.option(`--${option.flag} <${option.unit || 'value'}>`, help)
    else command.option(option.default ? `--no-${option.flag}` : `--${option.flag}`, help)
  }
  command
    .addHelpText(
      'after',
      `
Needs root to load the BPF programs, then runs without: a plain user is asked by sudo.
Where this host cannot be profiled it runs on and tells the server why.`,
    )
    .action(() => runAgent(command, context))
}

async function runAgent(command: Command, context: CommandContext): Promise<void> {
  const flags = agentOptions.flatMap(option => {
    const name = command.options.find(
      each => each.long === `--${option.flag}` || each.long === `--no-${option.flag}`,
    )
    if (!name || command.getOptionValueSource(name.attributeName()) !== 'cli') return []
    const value: unknown = command.getOptionValue(name.attributeName())
    return [
      typeof value === 'boolean' ? `--${value ? '' : 'no-'}${option.flag}` : `--${option.flag}=${value}`,
    ]
  })
  const agent = startAgent({
    config: { ...parseAgentConfig(flags, context.env), output: 'server' },
    elevate: context.isTerminal ? 'ask' : 'quietly',
    reportsWithoutProfiling: true,
    onLog: line => context.note(line),
  })
  const stop = () => void agent.stop()
  process.on('SIGINT', stop).on('SIGTERM', stop)
  await agent.ready
  const { code } = await agent.ended
  process.off('SIGINT', stop).off('SIGTERM', stop)
  context.setExitCode(code === 0 ? exitCodes.ok : exitCodes.failure)
}
