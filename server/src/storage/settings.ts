export interface StorageSettings {
  /** Longest one insert or ledger read may take before it is tried again. */
  requestTimeoutMs: number
  /** First and longest pause between tries of one insert. */
  retryMinMs: number
  retryMaxMs: number
  /** Ids of stacks, frames, functions, series and label sets remembered as stored, 12 bytes each: 24 MiB. */
  seenIds: number
  /** Batch ids remembered as stored, so that a quick retry needs no look-up. */
  recentBatches: number
}

export function defaultStorageSettings(): StorageSettings {
  return {
    requestTimeoutMs: 60_000,
    retryMinMs: 100,
    retryMaxMs: 5_000,
    seenIds: 2 ** 21,
    recentBatches: 100_000,
  }
}
