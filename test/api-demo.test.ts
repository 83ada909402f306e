import { create } from '@bufbuild/protobuf'
import { Client, credentials } from '@grpc/grpc-js'
import { HeartbeatRequestSchema } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { generateDemo } from '../cli/src/demo/generate.ts'
import { profileIngestService } from '../server/src/ingest/strobe/handler.ts'
import { startTestServer, type TestServer } from './api-server.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ demo: true, agentSilentMs: '1s' })
})
afterAll(() => server?.stop())

test('demo data by gRPC is there, marked, and gone after one request', async () => {
  const ingest = connectIngest(server.grpcAddress)
  const requests = [...generateDemo({ endMs: Date.now(), days: 1 / 24, seed: 1 })]
  for (const request of requests) expect((await ingest.write(request)).duplicate).toBe(false)
  expect((await ingest.write(requests[0]!)).duplicate).toBe(true)
  ingest.close()
  const names = async () => {
    const { body } = await server.get('services', { from: 'now-2h' })
    return (body as { services: { name: string; demo?: boolean }[] }).services.map(({ name, demo }) => [
      name,
      demo,
    ])
  }
  expect(await names()).toEqual([
    ['checkout', true],
    ['search-indexer', true],
    ['storefront', true],
  ])
  const { body } = await server.get('functions', { type: 'cpu', from: 'now-2h' })
  const { meta } = body as { meta: { profiles: number; coveredSeconds: number } }
  expect(meta.profiles).toBe(requests.flatMap(({ bodies }) => bodies[0]!.series).length)
  expect(meta.coveredSeconds).toBeGreaterThan(0.9 * 3600)
  const response = await fetch(new URL('api/v1/demo-data', server.url), {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
  })
  expect([response.status, await response.json()]).toEqual([200, { deleted: true }])
  expect(await names()).toEqual([])
})

test('an agent is what its heartbeat says, and silent once none comes', async () => {
  const client = new Client(server.grpcAddress, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = profileIngestService.Heartbeat
  await new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(HeartbeatRequestSchema, {
        host: 'h1',
        version: '0.1.0',
        kernel: '6.1.0',
        state: 'cannot_profile',
        reason: 'no BTF; give --btf FILE',
        startedUnixNanos: BigInt(Date.now()) * 1_000_000n,
        counters: { batches_sent: 9007199254740993n },
        checks: [{ name: 'btf', ok: false, detail: 'missing', fix: '--btf FILE' }],
      }),
      (error, answer) => (error ? reject(error) : resolve(answer)),
    )
  })
  client.close()
  const agents = async () =>
    ((await server.get('agents')).body as { agents: Record<string, unknown>[] }).agents
  expect(await agents()).toMatchObject([
    {
      host: 'h1',
      kernel: '6.1.0',
      state: 'cannot_profile',
      reason: 'no BTF; give --btf FILE',
      checks: [{ name: 'btf', ok: false, detail: 'missing', fix: '--btf FILE' }],
    },
  ])
  await expect.poll(async () => (await agents())[0]?.state, { timeout: 10_000 }).toBe('silent')
  expect((await agents())[0]?.reason).toMatch(/^no heartbeat for \d+ s; .* on h1 /)
})
