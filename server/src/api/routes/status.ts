import { z } from 'zod'
import { defineRoute, parameters } from '../route.ts'

export const statusRoute = defineRoute({
  method: 'get',
  path: '/status',
  summary: 'What this server is and whether its store answers.',
  access: 'read',
  query: parameters({}),
  answer: z.object({
    version: z.string(),
    demo: z.boolean(),
    startedAt: z.number(),
    store: z.object({ ready: z.boolean(), reason: z.string().optional() }),
    disk: z.object({
      state: z.enum(['ok', 'freeing', 'refusing']),
      reason: z.string().describe('what is wrong and what helps; empty when nothing is'),
      freeBytes: z.number(),
      totalBytes: z.number(),
      storeBytes: z.number(),
    }),
    address: z.string(),
    dataDir: z.string(),
  }),
  handle: async ({ context }) => context.status(),
})
