import { z } from 'zod'
import { queryLabels, queryLabelValues } from '../../query/labels.ts'
import { rangeParameters, selectorParameter } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

const query = parameters({ query: selectorParameter, ...rangeParameters })

export const labelsRoute = defineRoute({
  method: 'get',
  path: '/labels',
  summary: 'Names of the labels of matching series, and of the samples of their services.',
  access: 'read',
  query,
  answer: z.object({
    labels: z.array(z.string()),
    sampleLabels: z.array(z.string()).describe('as selectors take them: {"sample.thread"="main"}'),
  }),
  handle: call => queryLabels(call.context.queries, call.tenant, call.query, call.signal),
})

export const labelValuesRoute = defineRoute({
  method: 'get',
  path: '/labels/:name/values',
  summary: 'Values of one label, of series or led by `sample.` of samples, sorted, at most 10,000.',
  access: 'read',
  query,
  answer: z.object({
    values: z.array(z.string()),
    omitted: z.number().describe('values past the limit'),
    unit: z.string().nullable().describe('of numbers of samples; null for text'),
  }),
  handle: call =>
    queryLabelValues(
      call.context.queries,
      call.tenant,
      { ...call.query, name: call.params.name ?? '' },
      call.signal,
    ),
})
