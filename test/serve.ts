/**
 * The whole server as a process of its own, for tests that end it and benches that count its CPU.
 * argv: data folder, settings as JSON. Tells its addresses by IPC, and on `delay` the event loop's delay since
 * the last time it was asked.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { readConfig } from '@strobe/server'
import { runServer } from '@strobe/server/main'

const config = readConfig(
  {
    dataDir: process.argv[2]!,
    port: '0',
    grpcPort: '0',
    logLevel: 'error',
    ...(JSON.parse(process.argv[3] ?? '{}') as Record<string, string>),
  },
  {},
)
const server = await runServer(config)
const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
process.on('message', message => {
  if (message !== 'delay') return
  process.send!({ delayMs: Math.max(0, delay.percentile(99) / 1e6 - 5) })
  delay.reset()
})
// The channel closes when the test or bench ends, whatever it died of.
process.once('disconnect', () => void server.stop().then(() => process.exit(0)))
process.send!({ url: server.url, grpcAddress: server.grpcAddress })
