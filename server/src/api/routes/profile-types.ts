import { z } from 'zod'
import { queryProfileTypes } from '../../query/profile-types.ts'
import { rangeParameters, selectorParameter } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const profileTypesRoute = defineRoute({
  method: 'get',
  path: '/profile-types',
  summary: 'Profile types that have profiles in the range.',
  access: 'read',
  query: parameters({ query: selectorParameter, ...rangeParameters }),
  answer: z.object({
    types: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        sampleType: z.string(),
        unit: z.string(),
        periodType: z.string(),
        periodUnit: z.string(),
        kind: z.enum(['sum', 'gauge', 'cumulative']),
        title: z.string(),
      }),
    ),
  }),
  handle: ({ context, tenant, query, signal }) => queryProfileTypes(context.queries, tenant, query, signal),
})
