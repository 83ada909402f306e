import { z } from 'zod'
import { querySeries } from '../../query/series.ts'
import { integer, metaAnswer, selectionParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const seriesRoute = defineRoute({
  method: 'get',
  path: '/series',
  summary: 'A profile type over time: rates over the covered time of each step, means of gauges.',
  access: 'read',
  query: parameters({
    ...selectionParameters,
    by: z
      .string()
      .max(1000)
      .default('')
      .transform(text => text.split(',').filter(name => name !== ''))
      .pipe(z.array(z.string()).max(8))
      .describe('labels to group by, comma-separated, at most 8; those of samples are led by `sample.`'),
    points: integer('points at most', { min: 1, max: 2000, default: 300 }),
  }),
  answer: z.object({
    unit: z.string(),
    stepMs: z.number(),
    series: z.array(
      z.object({
        labels: z.record(z.string(), z.string()),
        points: z.array(z.tuple([z.number(), z.number().nullable()])),
      }),
    ),
    omitted: z.number().describe('lines past the hundred largest'),
    meta: metaAnswer,
  }),
  handle: ({ context, tenant, query, signal }) => querySeries(context.queries, tenant, query, signal),
})
