import { z } from 'zod'
import { queryDiff } from '../../query/diff/query-diff.ts'
import {
  frameKind,
  integer,
  metaAnswer,
  rangeParameters,
  selectorParameter,
  typeParameter,
} from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

const share = z.number().describe('of the total of its side, 0 to 1')
const side = z.object({
  instances: z.number(),
  replicates: z.number().describe('instances, or stretches of time of few instances'),
  samples: z.number(),
  total: z.number(),
  seconds: z.number().describe('covered, summed over instances'),
  meta: metaAnswer,
})

export const diffRoute = defineRoute({
  method: 'get',
  path: '/diff',
  access: 'read',
  summary:
    'Which functions changed between two selections, by how much, whether that is more than noise, and what would have been seen.',
  query: parameters({
    type: typeParameter,
    queryA: selectorParameter,
    fromA: rangeParameters.from,
    toA: rangeParameters.to,
    queryB: selectorParameter,
    fromB: rangeParameters.from,
    toB: rangeParameters.to,
    normalize: z
      .enum(['share', 'rate'])
      .default('share')
      .describe('share: of each side, so that load divides out; rate: per second of an instance'),
    nodes: integer('nodes of the tree at most', { min: 1, max: 20_000, default: 2500 }),
    limit: integer('functions at most', { min: 1, max: 10_000, default: 1000 }),
  }),
  answer: z.object({
    unit: z.string(),
    normalize: z.enum(['share', 'rate']),
    a: side,
    b: side,
    verdict: z.object({
      state: z.enum(['slower', 'faster', 'no_evidence', 'cannot_compare']),
      reason: z.string(),
      growth: z
        .object({
          value: z.number(),
          low: z.number(),
          high: z.number(),
          from: z.enum(['totals', 'implied']),
        })
        .nullable()
        .describe('of the whole: 0.1 is 10 % more'),
    }),
    cause: z
      .object({
        path: z.array(z.object({ name: z.string(), file: z.string(), module: z.string(), kind: frameKind })),
        change: z.number(),
      })
      .nullable()
      .describe('the deepest frame that holds most of the change, root first, and its growth in the tree'),
    method: z.enum(['ranks', 'pooled', 'mixed']),
    tested: z.number(),
    noise: z
      .number()
      .describe(
        'of a typical function: the least change that would have been found, over sqrt(s (1 - s)) of its share s',
      ),
    settings: z.record(z.string(), z.number()),
    functions: z
      .array(
        z.object({
          name: z.string(),
          file: z.string(),
          module: z.string(),
          kind: frameKind,
          state: z.enum(['slower', 'faster', 'small', 'moved', 'unclear', 'rare']),
          isNew: z.boolean(),
          isGone: z.boolean(),
          selfA: share,
          selfB: share,
          totalA: share,
          totalB: share,
          shift: z.number().describe('growth of the self share, with its 95 % interval'),
          low: z.number(),
          high: z.number(),
          p: z.number(),
          q: z.number(),
          smallestVisible: z.number().nullable(),
        }),
      )
      .describe('by size of the change; findings first, rare ones last'),
    omitted: z.object({ functions: z.number() }),
    warnings: z.array(z.string()),
    tree: z.object({
      names: z.array(z.string()),
      files: z.array(z.string()),
      modules: z.array(z.string()),
      kinds: z.array(frameKind),
      nodes: z.object({
        name: z.array(z.number()),
        parent: z.array(z.number()),
        selfA: z.array(z.number()),
        selfB: z.array(z.number()),
        totalA: z.array(z.number()),
        totalB: z.array(z.number()),
      }),
      omitted: z.object({ nodes: z.number(), weight: z.number() }),
    }),
    elapsedMs: z.number(),
  }),
  handle: ({ context, tenant, query, signal }) => queryDiff(context.queries, tenant, query, signal),
})
