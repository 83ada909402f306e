/** Keeps every value that the list of group labels of a tenant had. */
export const name = '0011-groups'

export const statements: string[] = [
  // change 0: of a setting only the newest row stays. Others have a change of their own (unix µs) and all stay, since
  // what was stored under an older value still is.
  `ALTER TABLE tenant_settings ADD COLUMN IF NOT EXISTS change UInt64, MODIFY ORDER BY (tenant, name, change)`,
]
