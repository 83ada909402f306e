import { CodedError } from '../errors.ts'

/** What a request needs: to write profiles, to read them, to manage its tenant, to manage all tenants. */
export type Access = 'ingest' | 'read' | 'admin' | 'operator'

/** Who asks, as the key says. */
export interface Principal {
  tenant: string
  role: 'ingest' | 'read' | 'admin'
  /** Public part of the key; '' without keys. */
  keyId: string
}

export const defaultTenant = 'default'

/** An admin of the tenant `default` manages the others too: limits hold for those who cannot raise them. */
export function isOperator(principal: Principal): boolean {
  return principal.role === 'admin' && principal.tenant === defaultTenant
}

/** Throws FORBIDDEN, which names the role that is needed. */
export function checkAccess(principal: Principal, access: Access): void {
  const isAllowed =
    access === 'operator' ? isOperator(principal) : principal.role === 'admin' || principal.role === access
  if (isAllowed) return
  const needed =
    access === 'operator' ? `an admin key of the tenant ${defaultTenant}` : `a key of role ${access} or admin`
  throw new CodedError(
    'FORBIDDEN',
    `this needs ${needed}; the key ${principal.keyId} has role ${principal.role} in tenant ${principal.tenant}`,
    { needed: access, role: principal.role, tenant: principal.tenant, key: principal.keyId },
  )
}

/** The tenant that an admin route is about. Throws FORBIDDEN when it is another's. */
export function checkTenant(principal: Principal, tenant: string): string {
  if (tenant === principal.tenant || isOperator(principal)) return tenant
  throw new CodedError(
    'FORBIDDEN',
    `the key ${principal.keyId} belongs to tenant ${principal.tenant} and manages no other; use an admin key of the tenant ${defaultTenant}`,
    { tenant: principal.tenant, key: principal.keyId },
  )
}

/** Throws BAD_REQUEST for what is no name of a tenant. */
export function checkTenantName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(name)) return name
  throw new CodedError(
    'BAD_REQUEST',
    `"${name.slice(0, 100)}" is no name of a tenant; it takes up to 63 letters, digits, - and _, a letter or digit first`,
    { tenant: name.slice(0, 100) },
  )
}
