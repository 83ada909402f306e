import { z } from 'zod'
import { checkTenant, checkTenantName, defaultTenant } from '../../../auth/access.ts'
import { formatQuantity } from '../../../quantity.ts'
import { checkGroupLabels, defaultGroupText, groupSentence } from '../../../tenant-groups.ts'
import {
  checkTenantSetting,
  groupSetting,
  type TenantSetting,
  tenantSettings,
} from '../../../tenant-settings.ts'
import { defineRoute, parameters, type RouteContext } from '../../route.ts'

export const tenantsRoute = defineRoute({
  method: 'get',
  path: '/admin/tenants',
  summary: 'Tenants with keys or settings of their own.',
  access: 'operator',
  query: parameters({}),
  answer: z.object({
    tenants: z.array(
      z.object({
        name: z.string(),
        keys: z.number().describe('that are not revoked'),
        settings: z.record(z.string(), z.string()).describe('that are not the default'),
      }),
    ),
  }),
  async handle({ context }) {
    const { tenants, keys } = context.admin
    const good = keys.all().filter(key => key.revokedAtMs === 0)
    const names = new Set([defaultTenant, ...tenants.tenants(), ...keys.all().map(key => key.tenant)])
    return {
      tenants: [...names].sort().map(name => ({
        name,
        keys: good.filter(key => key.tenant === name).length,
        settings: Object.fromEntries(tenants.settings(name)),
      })),
    }
  },
})

const tenantAnswer = z.object({
  name: z.string(),
  settings: z.array(
    z.object({
      name: z.string(),
      value: z.string(),
      isDefault: z.boolean(),
      sentence: z.string(),
    }),
  ),
})

export const tenantRoute = defineRoute({
  method: 'get',
  path: '/admin/tenants/:tenant',
  summary: 'Every setting of one tenant.',
  access: 'admin',
  query: parameters({}),
  answer: tenantAnswer,
  handle: async ({ context, params, principal }) =>
    describeTenant(context, checkTenant(principal, checkTenantName(params.tenant ?? ''))),
})

export const setTenantRoute = defineRoute({
  method: 'put',
  path: '/admin/tenants/:tenant/settings/:name',
  summary: 'Sets one setting of a tenant; an empty value is the default again.',
  access: 'operator',
  query: parameters({ value: z.string().max(2500) }),
  answer: tenantAnswer,
  bodyTypes: ['application/json'],
  async handle({ context, params, query }) {
    const tenant = checkTenantName(params.tenant ?? '')
    const name = params.name ?? ''
    if (name === groupSetting)
      await context.admin.tenants.setKept(tenant, name, checkGroupLabels(query.value))
    else await context.admin.tenants.set(tenant, name, checkTenantSetting(name, query.value))
    return describeTenant(context, tenant)
  },
})

function describeTenant(context: RouteContext, name: string) {
  const values = context.admin.tenants.settings(name)
  const describe = (setting: string, standard: string, sentence: string) => ({
    name: setting,
    value: values.get(setting) ?? standard,
    isDefault: !values.has(setting),
    sentence,
  })
  return {
    name,
    settings: [
      ...Object.entries<TenantSetting>(tenantSettings).map(
        ([setting, { default: standard, type, sentence }]) =>
          describe(setting, formatQuantity(standard, type), sentence),
      ),
      describe(groupSetting, defaultGroupText, groupSentence),
    ],
  }
}
