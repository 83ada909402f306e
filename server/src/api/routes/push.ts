import { z } from 'zod'
import { CodedError } from '../../errors.ts'
import { defineRoute } from '../route.ts'

const text = z.string().max(1000).default('')
const known = new Set(['service', 'name', 'keepTime', 'source'])

export const pushRoute = defineRoute({
  method: 'post',
  path: '/profiles',
  summary: 'Stores one pprof profile, gzip or not. Answers once it is durable.',
  access: 'ingest',
  query: z
    .object({
      service: text.describe('service_name of the profile'),
      name: text.describe('first part of the profile type id, such as process_cpu'),
      keepTime: z
        .enum(['', '0', '1', 'true', 'false'])
        .default('')
        .describe(
          'refuse a profile whose time is outside the accepted window instead of using the receive time',
        ),
      source: text.describe('file name, for messages'),
    })
    .catchall(z.string().max(4096))
    .describe('label.NAME=VALUE adds a label'),
  answer: z.object({
    profiles: z.array(
      z.object({ type: z.string(), samples: z.number(), total: z.string().describe('decimal') }),
    ),
    batchId: z.string(),
    retimed: z.boolean(),
    originalTime: z.string().optional().describe('RFC 3339; only when retimed'),
  }),
  bodyTypes: ['application/octet-stream', 'application/x-protobuf'],
  async handle({ context, tenant, query, request }) {
    for (const key of Object.keys(query)) {
      if (known.has(key) || /^label\../.test(key)) continue
      throw new CodedError(
        'BAD_REQUEST',
        `parameter "${key.slice(0, 100)}" is not known; labels are given as label.NAME=VALUE`,
      )
    }
    return context.push(request, new URL(request.originalUrl, 'http://localhost').searchParams, tenant)
  },
})
