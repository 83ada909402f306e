import { z } from 'zod'
import { queryFlamegraph } from '../../query/flamegraph.ts'
import { frameKind, integer, metaAnswer, selectionParameters, viewParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const flamegraphRoute = defineRoute({
  method: 'get',
  path: '/flamegraph',
  summary: 'The call tree of the selection, pruned to so many nodes.',
  access: 'read',
  query: parameters({
    ...selectionParameters,
    ...viewParameters,
    nodes: integer('nodes at most', { min: 1, max: 20_000, default: 2500 }),
    depth: integer('levels at most, deeper ones are folded into one node per parent', {
      min: 1,
      max: 10_000,
      default: 10_000,
    }),
    at: z
      .string()
      .max(8000)
      .default('')
      .describe(
        'the frame to start from: a JSON array of frame names from the root down, or the path hash that links of the pages carry; the answer is the tree below it',
      ),
  }),
  answer: z.object({
    unit: z.string(),
    total: z.number(),
    totalExact: z.string().nullable().describe('total with every digit; null below `at`'),
    wholeExact: z.string().describe('whole with every digit'),
    whole: z.number().describe('of all stacks, those that focus leaves out too'),
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
