import { readFileSync } from 'node:fs'
import { destination, pino } from 'pino'
import { loadAddon } from './bpf/load-addon.ts'
import type { LaunchHandles } from './bpf/native.ts'
import { parseAgentConfig } from './config.ts'
import { AgentError } from './errors.ts'
import { type AgentParts, runAgent } from './run-agent.ts'
import type { HostCheck } from './ship/heartbeat.ts'

// Started by the launcher with STROBE_HANDLES, or without it to report why this host cannot be profiled.
async function main(): Promise<void> {
  const config = parseAgentConfig(process.argv.slice(2), process.env)
  // stdout belongs to the parent's messages.
  const log = pino({ level: config.logLevel, base: null }, destination({ fd: 2, sync: true }))
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  await runAgent({
    config,
    version,
    log,
    profiler: openProfiler(process.env),
    checks: parseJson<HostCheck[]>(process.env.STROBE_CHECKS) ?? [],
    input: process.stdin,
    output: process.stdout,
    stop,
  })
}

function openProfiler(env: NodeJS.ProcessEnv): AgentParts['profiler'] {
  if (!env.STROBE_HANDLES)
    return {
      reason: env.STROBE_CANNOT_PROFILE || 'the agent was started without its launcher; use strobe agent',
    }
  const handles = parseJson<LaunchHandles>(env.STROBE_HANDLES)
  if (handles?.version !== 1)
    throw new AgentError(
      'HANDLES_INVALID',
      'STROBE_HANDLES is not of version 1; launcher and agent differ, build again',
    )
  return { addon: loadAddon(), handles }
}

function parseJson<T>(text: string | undefined): T | null {
  try {
    return JSON.parse(text ?? 'null') as T
  } catch {
    return null
  }
}

main().then(
  // Idle grpc sockets and stdin must not keep an agent that is done.
  () => process.exit(0),
  error => {
    process.stderr.write(
      `strobe agent: ${error instanceof AgentError ? `${error.code}: ${error.message}` : (error.stack ?? error)}\n`,
    )
    process.exit(error instanceof AgentError && error.code === 'OPTION_INVALID' ? 2 : 1)
  },
)
