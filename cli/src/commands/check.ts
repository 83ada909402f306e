import { type HostCheck, runHostCheck } from '@strobe/agent'
import type { Command } from 'commander'
import { type CommandContext, exitCodes } from '../command.ts'
import { formatTable } from '../table.ts'

const serverTimeoutMs = 5000

export function configure(command: Command, context: CommandContext): void {
  command
    .option('--server <url>', 'also ask this server whether it is ready (STROBE_URL)')
    .option('--json', 'print the answers as JSON')
    .addHelpText(
      'after',
      `
Loads every program and opens one event, as this user, and leaves nothing behind.
Exit codes: 0 this host can be profiled (and the server answers, when one is named), 1 it cannot.`,
    )
    .action((options: { server?: string; json?: boolean }) => check(options, context))
}

async function check(options: { server?: string; json?: boolean }, context: CommandContext): Promise<void> {
  const report = await runHostCheck()
  const server = options.server ?? context.env.STROBE_URL
  const items = server ? [...report.items, await checkServer(server)] : report.items
  const ok = items.every(item => item.ok || !item.required)
  context.setExitCode(ok ? exitCodes.ok : exitCodes.failure)
  if (options.json) {
    context.print(JSON.stringify({ ok, items }, null, 2))
    return
  }
  context.print(
    formatTable(
      [{ title: '' }, { title: 'check' }, { title: 'seen' }],
      items.map(item => [mark(item), item.name, firstLine(item.detail)]),
      context.width,
    ),
  )
  const missing = items.filter(item => !item.ok)
  if (missing.length > 0) context.print('')
  for (const item of missing) {
    context.print(`${item.required ? 'missing' : 'limited'}: ${item.name}: ${item.detail}`)
    if (item.fix) context.print(`  ${item.fix}`)
  }
  context.print('')
  context.print(ok ? 'This host can be profiled.' : 'This host cannot be profiled by this user yet.')
}

async function checkServer(url: string): Promise<HostCheck> {
  const item = { name: 'server', required: true }
  try {
    const response = await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(serverTimeoutMs) })
    if (response.ok) return { ...item, ok: true, detail: `${url} is ready`, fix: '' }
    const detail = `${url} answers ${response.status} to /readyz`
    return { ...item, ok: false, detail, fix: 'see the log of the server' }
  } catch (error) {
    const cause = (error as Error).cause
    const reason =
      cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(error)
    return {
      ...item,
      ok: false,
      detail: `${url}: ${reason}`,
      fix: 'start it (strobe up) or name another with --server',
    }
  }
}

function mark(item: HostCheck): string {
  return item.ok ? 'ok' : item.required ? 'MISSING' : 'limited'
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}
