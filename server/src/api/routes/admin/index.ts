import type { Route } from '../../route.ts'
import { backupsRoute, createBackupRoute } from './backups.ts'
import { deleteTenantRoute, tenantDeletionRoute } from './deletion.ts'
import { createKeyRoute, keysRoute, revokeKeyRoute } from './keys.ts'
import { setTenantRoute, tenantRoute, tenantsRoute } from './tenants.ts'

/** Every route of /api/v1/admin; a new one is a file and a line here. */
export const adminRoutes: Route[] = [
  tenantsRoute,
  tenantRoute,
  setTenantRoute,
  keysRoute,
  createKeyRoute,
  revokeKeyRoute,
  deleteTenantRoute,
  tenantDeletionRoute,
  backupsRoute,
  createBackupRoute,
]
