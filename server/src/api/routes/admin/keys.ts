import { z } from 'zod'
import { checkTenant, checkTenantName, defaultTenant } from '../../../auth/access.ts'
import { createToken } from '../../../auth/token.ts'
import { CodedError } from '../../../errors.ts'
import { type KeyRow, keyRoles } from '../../../storage/keys.ts'
import { defineRoute, parameters } from '../../route.ts'

const keyAnswer = z.object({
  id: z.string(),
  tenant: z.string(),
  role: z.enum(keyRoles),
  note: z.string(),
  createdAt: z.number(),
  revokedAt: z.number().nullable().describe('null while it is good'),
})
const tenantParameter = z.string().max(63).describe('the tenant of your own key when left out')

function describeKey(key: KeyRow): z.output<typeof keyAnswer> {
  const { id, tenant, role, note, createdAtMs, revokedAtMs } = key
  return { id, tenant, role, note, createdAt: createdAtMs, revokedAt: revokedAtMs || null }
}

export const keysRoute = defineRoute({
  method: 'get',
  path: '/admin/keys',
  summary: 'Keys of a tenant, or for an operator of all; never the tokens.',
  access: 'admin',
  query: parameters({ tenant: tenantParameter.default('') }),
  answer: z.object({ keys: z.array(keyAnswer) }),
  async handle({ context, principal, query }) {
    const all = context.admin.keys.all()
    if (query.tenant === '' && principal.tenant === defaultTenant) return { keys: all.map(describeKey) }
    const tenant = checkTenant(principal, query.tenant || principal.tenant)
    return { keys: all.filter(key => key.tenant === tenant).map(describeKey) }
  },
})

export const createKeyRoute = defineRoute({
  method: 'post',
  path: '/admin/keys',
  summary: 'Makes a key. Its token is in this answer and nowhere else.',
  access: 'admin',
  query: parameters({
    tenant: tenantParameter.default(''),
    role: z.enum(keyRoles),
    note: z.string().max(200).default('').describe('who or what it is for'),
  }),
  answer: keyAnswer.extend({ token: z.string() }),
  bodyTypes: ['application/json'],
  async handle({ context, principal, query }) {
    const tenant = checkTenant(principal, checkTenantName(query.tenant || principal.tenant))
    // From the first key on every request needs one: without a way to make others, nobody could.
    if (!context.admin.keys.hasKeys && (query.role !== 'admin' || tenant !== defaultTenant))
      throw new CodedError(
        'BAD_REQUEST',
        `the first key must have role admin in tenant ${defaultTenant}: from then on every request needs a key, and only such a key makes others`,
      )
    const { id, token, hash } = createToken()
    const key: KeyRow = {
      id,
      tenant,
      role: query.role,
      hash,
      note: query.note,
      createdAtMs: Date.now(),
      revokedAtMs: 0,
    }
    await context.admin.keys.write(key)
    return { ...describeKey(key), token }
  },
})

export const revokeKeyRoute = defineRoute({
  method: 'delete',
  path: '/admin/keys/:id',
  summary: 'Ends a key. Other servers of the store follow within seconds.',
  access: 'admin',
  query: parameters({}),
  answer: keyAnswer,
  bodyTypes: ['application/json'],
  async handle({ context, principal, params }) {
    const id = params.id ?? ''
    const key = await context.admin.keys.find(id)
    if (!key) throw new CodedError('NOT_FOUND', `there is no key ${id.slice(0, 100)}`)
    checkTenant(principal, key.tenant)
    const revoked = key.revokedAtMs > 0 ? key : { ...key, revokedAtMs: Date.now() }
    if (revoked !== key) await context.admin.keys.write(revoked)
    return describeKey(revoked)
  },
})
