const dayMs = 86_400_000

/**
 * How long the rows of each timed table are kept. `seconds`: what one row covers, since a row ends with its last
 * second. tables that are missing here follow the longest window: they say what the others rest on.
 */
export const windowTables = {
  samples: { seconds: 1, keepMs: 14 * dayMs },
  profiles: { seconds: 1, keepMs: 90 * dayMs },
  totals_1m: { seconds: 60, keepMs: 90 * dayMs },
  group_10m: { seconds: 600, keepMs: 2 * dayMs },
  instance_functions_10m: { seconds: 600, keepMs: 14 * dayMs },
  series_1h: { seconds: 3600, keepMs: 90 * dayMs },
  functions_1h: { seconds: 3600, keepMs: 400 * dayMs },
  group_1h: { seconds: 3600, keepMs: 400 * dayMs },
} as const satisfies Record<string, { seconds: number; keepMs: number }>

export type WindowTable = keyof typeof windowTables

export const windowTableNames = Object.keys(windowTables) as WindowTable[]

/** Of one tenant, in ms. */
export type Windows = Readonly<Record<WindowTable, number>>

export const defaultWindows: Windows = Object.fromEntries(
  windowTableNames.map(name => [name, windowTables[name].keepMs]),
) as Record<WindowTable, number>

/** Tables that say what the others rest on. */
const followers: Record<string, number> = { totals_10m: 600, level_state: 3600 }

/** Seconds that a row of a timed table covers from its `time` on. */
export function rowSeconds(table: string): number {
  return windowTables[table as WindowTable]?.seconds ?? followers[table] ?? 1
}

export function windowOf(windows: Windows, table: string): number {
  return windows[table as WindowTable] ?? Math.max(...Object.values(windows))
}

/** Unix s. A row counts as long as its last second is not before it. */
export function windowStart(windows: Windows, table: string, nowMs: number): number {
  return Math.ceil((nowMs - windowOf(windows, table)) / 1000)
}
