import { z } from 'zod'
import { queryExport } from '../../query/export.ts'
import { exportFormats } from '../../query/tree/protocol.ts'
import { selectionParameters, viewParameters } from '../parameters.ts'
import { defineRoute, parameters } from '../route.ts'

export const profileRoute = defineRoute({
  method: 'get',
  path: '/profile',
  summary: 'The selection as one file: gzip pprof, folded text, speedscope or JSON.',
  access: 'read',
  query: parameters({
    ...selectionParameters,
    ...viewParameters,
    format: z.enum(exportFormats).default('pprof'),
  }),
  answer: undefined,
  async handle({ context, tenant, query, signal, response }) {
    const file = await queryExport(context.queries, tenant, query, signal)
    response.setHeader('content-type', file.contentType)
    response.setHeader('content-disposition', `attachment; filename="${file.name}"`)
    response.end(file.bytes)
  },
})
