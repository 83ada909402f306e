import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connectIngest } from '@strobe/server'
import { createApiClient } from './api-client.ts'
import { demoRequestCount, generateDemo } from './demo/generate.ts'
import type { Progress } from './progress.ts'

const days = 14
const staleMs = 3_600_000
// So many that a group of the server fills before its wait is over.
const parallel = 8

/**
 * Fills a demo store through the same door as an agent. Skips what an earlier run finished less than an hour
 * ago; older or half-finished data is replaced. Returns how many requests were sent.
 */
export async function seedDemo(
  server: { url: string; grpcAddress: string },
  dataDir: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  const marker = join(dataDir, 'seeded.json')
  const seededAt = await readFile(marker, 'utf8').then(
    text => Number((JSON.parse(text) as { endMs: number }).endMs),
    () => 0,
  )
  const { services } = await createApiClient({ server: server.url }, { env: { STROBE_DATA: dataDir } }).get<{
    services: unknown[]
  }>('services', {
    from: `now-${days}d`,
  })
  if (services.length > 0 && Date.now() - seededAt < staleMs) return 0
  if (services.length > 0)
    await fetch(new URL('api/v1/demo-data', server.url), {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
    })
  const endMs = Date.now()
  const total = demoRequestCount({ days })
  const ingest = connectIngest(server.grpcAddress)
  let done = 0
  try {
    const requests = generateDemo({ endMs, days, seed: endMs % 2 ** 32 })
    const send = async () => {
      for (;;) {
        if (signal.aborted) return
        const next = requests.next()
        if (next.done) return
        await ingest.write(next.value)
        progress.update(++done, total, 'writing two weeks of demo data')
      }
    }
    await Promise.all(Array.from({ length: parallel }, send))
  } finally {
    ingest.close()
    progress.end()
  }
  if (!signal.aborted) await writeFile(marker, JSON.stringify({ endMs }))
  return done
}
