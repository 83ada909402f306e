import { z } from 'zod'
import { queryAgents } from '../../query/agents.ts'
import { defineRoute, parameters } from '../route.ts'

export const agentsRoute = defineRoute({
  method: 'get',
  path: '/agents',
  summary: 'Agents and their health.',
  access: 'read',
  query: parameters({}),
  answer: z.object({
    agents: z.array(
      z.object({
        host: z.string(),
        version: z.string(),
        kernel: z.string(),
        state: z.enum(['healthy', 'degraded', 'cannot_profile', 'silent']),
        reason: z.string(),
        lastSeen: z.number(),
        checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string(), fix: z.string() })),
        counters: z.record(z.string(), z.number()),
      }),
    ),
  }),
  handle: ({ context, tenant, signal }) => queryAgents(context.queries, tenant, signal),
})
