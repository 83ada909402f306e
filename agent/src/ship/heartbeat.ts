import { setTimeout as delay } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { type HeartbeatRequest, HeartbeatRequestSchema } from '@strobe/proto'
import type { AgentMetrics } from '../metrics.ts'
import type { IngestClient } from './ingest-client.ts'

export interface HostCheck {
  name: string
  ok: boolean
  /** Profiling is impossible while it is not ok. */
  required: boolean
  detail: string
  fix: string
}

export type AgentState = 'healthy' | 'degraded' | 'cannot_profile'

export interface HeartbeatFacts {
  host: string
  version: string
  kernel: string
  state: AgentState
  /** One sentence with the way out, '' when healthy. */
  reason: string
  startedUnixNanos: bigint
  counters: Record<string, number>
  checks: HostCheck[]
}

export function buildHeartbeat(facts: HeartbeatFacts): HeartbeatRequest {
  const counters: Record<string, bigint> = {}
  for (const [name, value] of Object.entries(facts.counters))
    if (Number.isFinite(value) && value >= 0) counters[name] = BigInt(Math.round(value))
  return create(HeartbeatRequestSchema, {
    ...facts,
    counters,
    checks: facts.checks.map(({ name, ok, detail, fix }) => ({ name, ok, detail, fix })),
  })
}

/** Reports to the server until the signal; the first report goes out at once. */
export async function runHeartbeats(options: {
  client: Pick<IngestClient, 'heartbeat'>
  facts: () => HeartbeatFacts
  intervalMs: number
  metrics: AgentMetrics
  /** Told when reports start to fail, and when they fail for another reason. */
  onFailure: (message: string) => void
  signal: AbortSignal
}): Promise<void> {
  let intervalMs = options.intervalMs
  let failure = ''
  while (!options.signal.aborted) {
    const result = await options.client.heartbeat(buildHeartbeat(options.facts()))
    if (!result.ok) {
      options.metrics.add('heartbeats_failed')
      if (result.failure.code !== failure) options.onFailure(result.failure.message)
    }
    // A server may slow agents down or ask for detail, within reason: 1 s to 10 min.
    else if (result.response.heartbeatIntervalMs > 0)
      intervalMs = Math.min(Math.max(result.response.heartbeatIntervalMs, 1000), 600_000)
    failure = result.ok ? '' : result.failure.code
    await delay(intervalMs, undefined, { signal: options.signal }).catch(() => {})
  }
}
