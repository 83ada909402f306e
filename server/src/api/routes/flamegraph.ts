import { z } from 'zod'
import { queryFlamegraph } from '../../query/flamegraph.ts'
import { frameKind, integer, metaAnswer, selectionParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const flamegraphRoute = defineRoute({
  method: 'get',
  path: '/flamegraph',
  summary: 'The call tree of the selection, pruned to so many nodes.',
  access: 'read',
  query: parameters({
    ...selectionParameters,
    nodes: integer('nodes at most', { min: 1, max: 20_000, default: 2500 }),
    at: z
      .string()
      .max(8000)
      .default('')
      .describe('JSON array of frame names from the root down; the answer is the tree below that frame'),
  }),
  answer: z.object({
    unit: z.string(),
    total: z.number(),
    names: z.array(z.string()),
    files: z.array(z.string()),
    modules: z.array(z.string()),
    kinds: z.array(frameKind),
    nodes: z.object({
      name: z.array(z.number()).describe('index into names, files, modules and kinds'),
      parent: z.array(z.number()).describe('index of the parent node; -1 for node 0, the root'),
      self: z.array(z.number()),
      total: z.array(z.number()),
    }),
    omitted: z.object({ nodes: z.number(), weight: z.number() }),
    meta: metaAnswer,
  }),
  handle: ({ context, tenant, query, signal }) => queryFlamegraph(context.queries, tenant, query, signal),
})
