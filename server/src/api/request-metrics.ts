import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'

/** What the reading side counts, on the server's registry. */
export function createRequestMetrics(registry: Registry) {
  const registers = [registry]
  const buckets = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
  collectDefaultMetrics({ register: registry })
  return {
    requestSeconds: new Histogram({
      name: 'strobe_http_request_seconds',
      help: 'Time to answer API requests',
      labelNames: ['route', 'method', 'status'] as const,
      buckets,
      registers,
    }),
    statementSeconds: new Histogram({
      name: 'strobe_store_statement_seconds',
      help: 'Time of reading statements in the store',
      labelNames: ['statement'] as const,
      buckets,
      registers,
    }),
    statementFailures: new Counter({
      name: 'strobe_store_statement_failures_total',
      help: 'Reading statements that failed, by error code',
      labelNames: ['statement', 'code'] as const,
      registers,
    }),
    statementWaitSeconds: new Histogram({
      name: 'strobe_store_statement_wait_seconds',
      help: 'Time that reading statements waited for a place in the store',
      labelNames: ['statement'] as const,
      buckets,
      registers,
    }),
    statementRows: new Counter({
      name: 'strobe_store_statement_rows_total',
      help: 'Rows read by statements, where the store counts them',
      labelNames: ['statement'] as const,
      registers,
    }),
    statementBytes: new Counter({
      name: 'strobe_store_statement_bytes_total',
      help: 'Bytes read by statements, where the store counts them',
      labelNames: ['statement'] as const,
      registers,
    }),
    treeSeconds: new Histogram({
      name: 'strobe_tree_cpu_seconds',
      help: 'CPU time of putting the stacks of a query together, by what was made',
      labelNames: ['kind'] as const,
      buckets,
      registers,
    }),
    treeFailures: new Counter({
      name: 'strobe_tree_failures_total',
      help: 'Queries whose stacks were not put together, by error code',
      labelNames: ['kind', 'code'] as const,
      registers,
    }),
    treeJobs: new Gauge({
      name: 'strobe_tree_jobs',
      help: 'Queries whose stacks are being put together',
      labelNames: ['thread'] as const,
      registers,
    }),
    treeRestarts: new Counter({
      name: 'strobe_tree_thread_restarts_total',
      help: 'Times a thread that puts stacks together ended by a fault',
      labelNames: ['thread'] as const,
      registers,
    }),
    stackCacheBytes: new Gauge({
      name: 'strobe_stack_cache_bytes',
      help: 'Memory of the stacks kept between queries',
      labelNames: ['thread'] as const,
      registers,
    }),
    stackCacheLookups: new Gauge({
      name: 'strobe_stack_cache_lookups',
      help: 'Stacks that queries needed since the thread started, by outcome: hit, miss',
      labelNames: ['thread', 'outcome'] as const,
      registers,
    }),
    ready: new Gauge({
      name: 'strobe_ready',
      help: '1 when the server takes profiles and answers queries',
      registers,
    }),
  }
}
