import type { CommandModule } from '../../command.ts'
import * as backup from './backup.ts'
import * as ddl from './ddl.ts'
import * as deleteTenant from './delete-tenant.ts'
import * as keys from './keys.ts'
import * as limits from './limits.ts'
import * as restore from './restore.ts'
import * as tenants from './tenants.ts'
import * as verify from './verify.ts'

export interface AdminCommand extends CommandModule {
  name: string
  summary: string
}

/** Every `strobe admin` command; a new one is a file and a line here. */
export const adminCommands: AdminCommand[] = [
  { name: 'tenants', summary: 'list tenants', configure: tenants.configure },
  { name: 'limits', summary: 'show or set the limits of a tenant', configure: limits.configure },
  { name: 'delete-tenant', summary: 'delete a tenant and all it stored', configure: deleteTenant.configure },
  { name: 'backup', summary: 'save everything the server has', configure: backup.configure },
  { name: 'verify', summary: 'check that a backup is whole', configure: verify.configure },
  { name: 'restore', summary: 'make a data folder from a backup', configure: restore.configure },
  { name: 'ddl', summary: 'print the schema for a ClickHouse cluster', configure: ddl.configure },
  { name: 'keys', summary: 'make, list and revoke keys', configure: keys.configure },
]
