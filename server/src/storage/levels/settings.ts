export interface LevelSettings {
  /** A period is summed once it has ended this long ago. */
  closeDelayMs: number
  /** And once nothing came for it for this long: a spool that drains would make every look sum it again. */
  settleMs: number
  /** Queries read ten-minute sums of groups this far back, and they are made no farther. */
  shortKeepMs: number
  /** How far back profiles are looked for that no level has summed. */
  lookbackMs: number
  /** Pause between two looks. */
  intervalMs: number
  /** Pause after each batch, as a multiple of the time the batch took: the engine has other work. */
  pauseRatio: number
  /** First pause before a period is tried again whose run began and was not recorded; doubles up to 256 times. */
  retryMs: number
  /** Rows of a run that lost count are deleted so long after: queries that were planned with it have ended. */
  supersededKeepMs: number
  /** By how much its threads give way to others, 0 to 19 as nice(1) has it. */
  niceness: number
  /** Samples that one statement sums; more only when one service has more in one period. */
  batchSamples: number
  /** Ceiling of one statement's memory; at a quarter of it sums go to disk. */
  memoryBytes: number
}

export function defaultLevelSettings(): LevelSettings {
  return {
    closeDelayMs: 120_000,
    settleMs: 60_000,
    shortKeepMs: 2 * 86_400_000,
    lookbackMs: 15 * 86_400_000,
    intervalMs: 30_000,
    pauseRatio: 1,
    retryMs: 60_000,
    supersededKeepMs: 3_600_000,
    niceness: 10,
    batchSamples: 4_000_000,
    memoryBytes: 1_073_741_824,
  }
}
