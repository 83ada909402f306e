import type { CommandModule } from '../../command.ts'
import * as keys from './keys.ts'
import * as limits from './limits.ts'
import * as tenants from './tenants.ts'

export interface AdminCommand extends CommandModule {
  name: string
  summary: string
}

/** Every `strobe admin` command; a new one is a file and a line here. */
export const adminCommands: AdminCommand[] = [
  { name: 'tenants', summary: 'list tenants', configure: tenants.configure },
  { name: 'limits', summary: 'show or set the limits of a tenant', configure: limits.configure },
  { name: 'keys', summary: 'make, list and revoke keys', configure: keys.configure },
]
