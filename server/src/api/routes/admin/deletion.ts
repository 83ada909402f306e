import { z } from 'zod'
import { checkTenantName } from '../../../auth/access.ts'
import { CodedError } from '../../../errors.ts'
import type { TenantDeletion } from '../../../storage/life/delete-tenant.ts'
import { defineRoute, parameters } from '../../route.ts'

const deletionAnswer = z.object({
  tenant: z.string(),
  askedAt: z.number(),
  doneAt: z.number().nullable().describe('null while rows are being removed'),
})

const describeDeletion = ({ tenant, askedAtMs, doneAtMs }: TenantDeletion) => ({
  tenant,
  askedAt: askedAtMs,
  doneAt: doneAtMs || null,
})

export const deleteTenantRoute = defineRoute({
  method: 'delete',
  path: '/admin/tenants/:tenant',
  summary: 'Begins to delete a tenant: its keys end now, then everything it stored goes.',
  access: 'operator',
  query: parameters({}),
  answer: deletionAnswer,
  bodyTypes: ['application/json'],
  handle: async ({ context, params }) =>
    describeDeletion(await context.admin.deletions.begin(checkTenantName(params.tenant ?? ''))),
})

export const tenantDeletionRoute = defineRoute({
  method: 'get',
  path: '/admin/tenants/:tenant/deletion',
  summary: 'Whether a tenant is deleted by now.',
  access: 'operator',
  query: parameters({}),
  answer: deletionAnswer,
  async handle({ context, params }) {
    const tenant = checkTenantName(params.tenant ?? '')
    const deletion = (await context.admin.deletions.list()).find(each => each.tenant === tenant)
    if (!deletion) throw new CodedError('NOT_FOUND', `nobody asked to delete the tenant ${tenant}`)
    return describeDeletion(deletion)
  },
})
