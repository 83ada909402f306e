import { connectIngest } from '@strobe/server'
import { generateDemo } from '../cli/src/demo/generate.ts'

/** Sends the last days of the demo to a server, many batches at once: they become few groups. */
export async function sendDemo(grpcAddress: string, days: number, seed: number): Promise<void> {
  const ingest = connectIngest(grpcAddress)
  await Promise.all(
    [...generateDemo({ endMs: Date.now(), days, seed })].map(request => ingest.write(request)),
  )
  ingest.close()
}
