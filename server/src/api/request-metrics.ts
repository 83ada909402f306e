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
    ready: new Gauge({
      name: 'strobe_ready',
      help: '1 when the server takes profiles and answers queries',
      registers,
    }),
  }
}
