import type { ReadUsage } from '../storage/select/reader.ts'
import { selectAgents } from '../storage/select/statements.ts'
import type { QueryContext } from './context.ts'

export interface AgentInfo {
  host: string
  version: string
  kernel: string
  state: 'healthy' | 'degraded' | 'cannot_profile' | 'silent'
  /** One sentence, with the way out. */
  reason: string
  lastSeen: number
  checks: { name: string; ok: boolean; detail: string; fix: string }[]
  counters: Record<string, number>
}

type AgentRow = [string, string, string, string, string, number, string, string]

/** Agents that ever sent a heartbeat, by host. */
export async function queryAgents(
  context: QueryContext,
  tenant: string,
  signal: AbortSignal | undefined,
): Promise<{ agents: AgentInfo[] }> {
  const usage: ReadUsage = { rowsRead: 0, bytesRead: 0 }
  const rows = await context.reader.rows<AgentRow>(selectAgents(tenant), usage, signal)
  return {
    agents: rows.map(([host, version, kernel, state, reason, lastSeen, checks, counters]) => {
      const silentMs = context.now() - lastSeen
      const isSilent = silentMs > context.agentSilentMs
      return {
        host,
        version,
        kernel,
        state: isSilent ? 'silent' : toState(state),
        reason: isSilent
          ? `no heartbeat for ${Math.round(silentMs / 1000)} s; see whether the agent still runs on ${host} and reaches this server`
          : reason,
        lastSeen,
        checks: parseOr<AgentInfo['checks']>(checks, []),
        // Stored as decimal text, which passes 2^53; a rounded number is enough to look at.
        counters: Object.fromEntries(
          Object.entries(parseOr<Record<string, string>>(counters, {})).map(([name, count]) => [
            name,
            Number(count),
          ]),
        ),
      }
    }),
  }
}

function toState(state: string): AgentInfo['state'] {
  return state === 'healthy' || state === 'cannot_profile' ? state : 'degraded'
}

function parseOr<T>(text: string, fallback: T): T {
  try {
    return JSON.parse(text) as T
  } catch {
    return fallback
  }
}
