import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { HostCheck } from './ship/heartbeat.ts'

export interface HostCheckReport {
  /** Whether this host can be profiled by this user. */
  ok: boolean
  /** False when the launcher could not be asked; then the one item says why. */
  isAnswer: boolean
  items: HostCheck[]
}

export const launcherPath = fileURLToPath(new URL('../native/build/strobe-launch', import.meta.url))

/**
 * Asks the launcher whether this host can be profiled; loads and frees the programs. Never throws: a
 * launcher that is missing or fails is an item like the others.
 *
 * prefix: command and arguments put before the launcher (sudo), empty for none.
 */
export async function runHostCheck(prefix: readonly string[] = []): Promise<HostCheckReport> {
  if (process.platform !== 'linux')
    return failed('platform', `${process.platform} cannot load BPF programs`, 'run the agent on Linux')
  if (!existsSync(launcherPath))
    return failed('launcher', `${launcherPath} is not built`, 'run npm run setup, which says what it needs')
  const [command = launcherPath, ...args] = [...prefix, launcherPath, '--check']
  return new Promise(resolve => {
    execFile(command, args, { timeout: 60_000, maxBuffer: 1 << 20 }, (error, stdout, stderr) => {
      const report = parseReport(stdout)
      if (report) resolve(report)
      else
        resolve(
          failed(
            'launcher',
            stderr.trim() || error?.message || 'no answer',
            'build the agent again: npm run setup',
          ),
        )
    })
  })
}

/** One sentence: what is missing and the way out; '' when the host can be profiled. */
export function describeFailedChecks(report: HostCheckReport): string {
  if (report.ok) return ''
  const missing = report.items.filter(item => !item.ok && item.required)
  const capabilities = missing.filter(item => item.name.startsWith('cap_'))
  // Without the one the rest follows: seven lines would say "be root" seven times.
  if (capabilities.length > 1)
    return `this user may not load BPF programs: ${capabilities.map(item => item.name.toUpperCase()).join(', ')} are missing (${capabilities[0]!.fix || 'run as root'})`
  return missing
    .map(item => `${item.name}: ${item.detail.split('\n')[0]}${item.fix ? ` (${item.fix})` : ''}`)
    .join('; ')
}

function failed(name: string, detail: string, fix: string): HostCheckReport {
  return { ok: false, isAnswer: false, items: [{ name, ok: false, required: true, detail, fix }] }
}

function parseReport(text: string): HostCheckReport | null {
  try {
    const { ok, items } = JSON.parse(text) as Partial<HostCheckReport>
    return typeof ok === 'boolean' && Array.isArray(items) ? { ok, isAnswer: true, items } : null
  } catch {
    return null
  }
}
