/** Everything the agent counts, with what it means. A drop has one counter a reason. */
export const agentCounters = {
  windows: 'windows collected',
  profiles: 'profiles made, idle ones included',
  samples: 'samples in those profiles',
  samples_lost: 'samples the kernel took and could not deliver',
  samples_refused: 'samples of processes that a relabel rule dropped',
  samples_truncated: 'samples whose stack does not reach its root',
  samples_unsymbolized: 'samples whose leaf has no name',
  series_omitted: 'idle series left out because a window had the most series allowed',
  batches_sent: 'batches the server acknowledged',
  batches_duplicate: 'of those, batches the server already had',
  batches_retried: 'sends that failed and will be tried again',
  batches_dropped_spool_full: 'batches dropped because the spool was full, oldest first',
  batches_dropped_refused: 'batches the server refused for good',
  batches_dropped_corrupt: 'spool files that could not be read back',
  batches_dropped_unwritable: 'batches that could not be written to the spool',
  versions_none_no_source: 'processes without a version: nothing tells one',
  versions_none_package: "processes without a version: the executable is the distribution's",
  versions_none_no_build_id: 'processes without a version: the executable has no build id',
  versions_none_gone: 'processes without a version: they had ended',
  versions_none_hung: 'processes without a version: their files could not be read in time',
  debug_files_fetched: 'debug files that a debuginfod server sent',
  debug_files_missing: 'debug files that no debuginfod server has',
  debug_files_failed: 'answers of debuginfod servers that failed, were too large, too late or no ELF file',
  debug_files_dropped: 'debug files not asked for because too many were waiting',
  debug_files_evicted: 'debug files deleted to keep their folder within its bytes',
  windows_failed: 'windows lost to an error of the agent',
  heartbeats_failed: 'heartbeats the server did not answer',
} as const

export type AgentCounter = keyof typeof agentCounters

export class AgentMetrics {
  readonly #values = new Map<AgentCounter, number>()

  add(counter: AgentCounter, amount = 1): void {
    this.#values.set(counter, this.get(counter) + amount)
  }

  get(counter: AgentCounter): number {
    return this.#values.get(counter) ?? 0
  }

  /** Counters that are not zero, by name. */
  snapshot(): Record<string, number> {
    return Object.fromEntries(this.#values)
  }
}
