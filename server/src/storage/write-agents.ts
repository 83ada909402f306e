import type { StoreClient } from './client.ts'
import { formatSeconds } from './format-seconds.ts'

export interface AgentRow {
  host: string
  version: string
  kernel: string
  state: string
  reason: string
  startedAtMs: number
  checks: { name: string; ok: boolean; detail: string; fix: string }[]
  /** Decimal text: counters pass 2^53. */
  counters: Record<string, string>
  lastSeenMs: number
}

/** One row per host and heartbeat; the newest replaces the others. */
export async function writeAgents(
  client: StoreClient,
  tenant: string,
  agents: readonly AgentRow[],
): Promise<void> {
  await client.insert({
    table: 'agents',
    values: agents.map(agent => ({
      tenant,
      host: agent.host,
      version: agent.version,
      kernel: agent.kernel,
      state: agent.state,
      reason: agent.reason,
      started_at: formatSeconds(agent.startedAtMs),
      checks: JSON.stringify(agent.checks),
      counters: JSON.stringify(agent.counters),
      last_seen: formatSeconds(agent.lastSeenMs),
    })),
    format: 'JSONEachRow',
  })
}
