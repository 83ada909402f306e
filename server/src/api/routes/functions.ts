import { z } from 'zod'
import { queryFunctions } from '../../query/functions.ts'
import { frameKind, integer, metaAnswer, selectionParameters, viewParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const functionsRoute = defineRoute({
  method: 'get',
  path: '/functions',
  summary: 'Self and total of every function of the selection, from all of its stacks.',
  access: 'read',
  query: parameters({
    ...selectionParameters,
    ...viewParameters,
    sort: z.enum(['self', 'total']).default('self'),
    limit: integer('functions at most', { min: 1, max: 10_000, default: 1000 }),
    search: z.string().max(500).default('').describe('only functions whose name or file contains this text'),
  }),
  answer: z.object({
    unit: z.string(),
    total: z.number().describe('of the stacks that focus leaves'),
    totalExact: z.string().describe('total with every digit'),
    wholeExact: z.string().describe('whole with every digit'),
    whole: z.number().describe('of all stacks'),
    functions: z.array(
      z.object({
        name: z.string(),
        file: z.string(),
        module: z.string(),
        kind: frameKind,
        self: z.number(),
        total: z.number(),
      }),
    ),
    omitted: z.object({ functions: z.number(), self: z.number() }),
    meta: metaAnswer,
  }),
  handle: ({ context, tenant, query, signal }) => queryFunctions(context.queries, tenant, query, signal),
})
