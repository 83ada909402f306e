import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestServer, type TestServer } from './api-server.ts'
import { runExtremes } from './extremes.ts'

let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server?.stop())

test('50,000 stacks of one service, 2,000 frames, 10,000 pods, clocks an hour off: as documented, nothing lost', async () => {
  const { problems, refusals } = await runExtremes(server, { stacks: 50_000, labelValues: 10_000 })
  expect([problems, refusals]).toEqual([[], []])
})
