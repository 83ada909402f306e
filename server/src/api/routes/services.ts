import { z } from 'zod'
import { queryServices } from '../../query/services.ts'
import { metaAnswer, rangeParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const servicesRoute = defineRoute({
  method: 'get',
  path: '/services',
  summary: 'Services with profiles in the range.',
  access: 'read',
  query: parameters(rangeParameters),
  answer: z.object({
    services: z.array(
      z.object({
        name: z.string(),
        types: z.array(z.string()),
        instances: z.number(),
        versions: z.array(z.string()),
        lastSeen: z.number(),
        cores: z.number().nullable().describe('CPU seconds per covered second; null without a cpu type'),
        demo: z.boolean().optional(),
      }),
    ),
    meta: metaAnswer,
  }),
  handle: ({ context, tenant, query, signal }) => queryServices(context.queries, tenant, query, signal),
})
