import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** What the server counts of itself, on a registry of its own. */
export function createServerMetrics() {
  const registry = new Registry()
  const registers = [registry]
  return {
    registry,
    batches: new Counter({
      name: 'strobe_ingest_batches_total',
      help: 'Batches answered, by protocol and outcome: stored, duplicate, refused',
      labelNames: ['protocol', 'outcome'] as const,
      registers,
    }),
    refused: new Counter({
      name: 'strobe_ingest_refused_total',
      help: 'Batches refused, by error code and tenant (the first 100, else other)',
      labelNames: ['protocol', 'code', 'tenant'] as const,
      registers,
    }),
    profiles: new Counter({
      name: 'strobe_ingest_profiles_total',
      help: 'Profiles stored',
      registers,
    }),
    samples: new Counter({
      name: 'strobe_ingest_samples_total',
      help: 'Sample rows stored',
      registers,
    }),
    dropped: new Counter({
      name: 'strobe_ingest_dropped_total',
      help: 'Things left out of profiles that were stored, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
    retimed: new Counter({
      name: 'strobe_ingest_retimed_total',
      help: 'Profiles given the time of receipt, by reason: missing, outside_window',
      labelNames: ['reason'] as const,
      registers,
    }),
    queuedProfiles: new Gauge({
      name: 'strobe_ingest_queued_profiles',
      help: 'Profiles that wait for the store',
      registers,
    }),
    decoderDeaths: new Counter({
      name: 'strobe_ingest_decoder_deaths_total',
      help: 'Threads that ended over a request, which was refused, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
    heartbeats: new Counter({
      name: 'strobe_ingest_heartbeats_total',
      help: 'Heartbeats of agents, by outcome',
      labelNames: ['outcome'] as const,
      registers,
    }),
    insertedRows: new Counter({
      name: 'strobe_store_inserted_rows_total',
      help: 'Rows sent to the store, by table',
      labelNames: ['table'] as const,
      registers,
    }),
    insertRetries: new Counter({
      name: 'strobe_store_retries_total',
      help: 'Statements of ingest tried again, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
    insertSeconds: new Histogram({
      name: 'strobe_store_insert_seconds',
      help: 'Time to make one group durable',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    contestedBatches: new Counter({
      name: 'strobe_store_contested_batches_total',
      help: 'Times a batch was found to be on its way through another server, too',
      registers,
    }),
    fencedGroups: new Counter({
      name: 'strobe_store_fenced_groups_total',
      help: 'Groups of servers that were gone, by what stood of them: clear (all), fenced (nothing), torn (half)',
      labelNames: ['state'] as const,
      registers,
    }),
    replayedGroups: new Counter({
      name: 'strobe_journal_replayed_groups_total',
      help: 'Groups found in the journal at start, by outcome: stored, known, damaged, refused, fenced',
      labelNames: ['outcome'] as const,
      registers,
    }),
    levelPeriods: new Counter({
      name: 'strobe_level_periods_total',
      help: 'Hours or ten minutes of one service and type that were summed, by reason: new, late (profiles came after), retry; and outcome: recorded, unsettled (samples and profiles did not agree yet), failed',
      labelNames: ['level', 'reason', 'outcome'] as const,
      registers,
    }),
    levelRunSeconds: new Histogram({
      name: 'strobe_level_run_seconds',
      help: 'Time to sum one run of a level',
      labelNames: ['level'] as const,
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    levelRows: new Counter({
      name: 'strobe_level_rows_total',
      help: 'Rows written into levels',
      labelNames: ['level'] as const,
      registers,
    }),
    levelLag: new Gauge({
      name: 'strobe_level_lag_seconds',
      help: 'How long ago the oldest period ended that waits to be summed; 0 when none does',
      labelNames: ['level'] as const,
      registers,
    }),
    levelDeletedRuns: new Counter({
      name: 'strobe_level_deleted_runs_total',
      help: 'Runs of a level whose rows were deleted, because another counts in their place or they never stood',
      labelNames: ['level'] as const,
      registers,
    }),
    diskFreeBytes: new Gauge({
      name: 'strobe_disk_free_bytes',
      help: 'Free space on the disk of the store',
      registers,
    }),
    storeBytes: new Gauge({
      name: 'strobe_store_bytes',
      help: 'Bytes of all tables',
      registers,
    }),
    writesRefused: new Gauge({
      name: 'strobe_writes_refused',
      help: '1 while profiles are refused because the disk is almost full',
      registers,
    }),
    freedBytes: new Counter({
      name: 'strobe_disk_freed_bytes_total',
      help: 'Bytes of the oldest partitions that were removed to make room',
      labelNames: ['table'] as const,
      registers,
    }),
    removedRows: new Counter({
      name: 'strobe_removed_rows_total',
      help: 'Rows removed, by reason: expired (their window has passed; all rows of the partition are counted), unused (nothing names them any more)',
      labelNames: ['table', 'reason'] as const,
      registers,
    }),
    backups: new Counter({
      name: 'strobe_backups_total',
      help: 'Backups, by outcome: done, failed',
      labelNames: ['outcome'] as const,
      registers,
    }),
    engineRestarts: new Counter({
      name: 'strobe_engine_restarts_total',
      help: 'Times the embedded engine ended by itself and was started again',
      registers,
    }),
  }
}

export type ServerMetrics = ReturnType<typeof createServerMetrics>
