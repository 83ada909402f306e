import { z } from 'zod'
import { CodedError } from '../../errors.ts'
import { defineRoute, parameters } from '../route.ts'

export const demoDataRoute = defineRoute({
  method: 'delete',
  path: '/demo-data',
  summary: 'Deletes every profile of a store that holds demo data.',
  access: 'admin',
  query: parameters({}),
  answer: z.object({ deleted: z.boolean() }),
  bodyTypes: ['application/json'],
  async handle({ context }) {
    if (!context.queries.isDemo)
      throw new CodedError(
        'NOT_DEMO',
        'this store does not hold demo data; only a server started with --demo deletes all of it',
      )
    await context.deleteData()
    return { deleted: true }
  },
})
