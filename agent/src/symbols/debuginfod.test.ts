import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AgentMetrics } from '../metrics.ts'
import { Debuginfod, type DebuginfodOptions } from './debuginfod.ts'

const elf = (bytes: number) => Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(bytes - 4)])
const answers: Record<string, Buffer> = {
  aaaa01: elf(1000),
  aaaa02: elf(1000),
  aaaa03: elf(1000),
  bbbb01: elf(5000),
  cccc01: Buffer.from('<html>no such file</html>'),
}

let folder: string
let server: Server
let asked: string[]
let metrics: AgentMetrics
let nowMs: number

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'strobe-debuginfod-'))
  asked = []
  metrics = new AgentMetrics()
  nowMs = 0
  server = createServer((request, response) => {
    const buildId = /^\/root\/buildid\/([0-9a-f]+)\/debuginfo$/.exec(request.url ?? '')?.[1] ?? ''
    asked.push(buildId)
    // Never ends: the client has to lose patience.
    if (buildId === 'dddd01') return void response.write(elf(100))
    if (buildId === 'eeee01') return void response.writeHead(500).end()
    response.writeHead(answers[buildId] ? 200 : 404).end(answers[buildId])
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

function open(options: Partial<DebuginfodOptions> = {}): Debuginfod {
  const { port } = server.address() as AddressInfo
  return new Debuginfod({
    ...{ urls: [`http://127.0.0.1:${port}/root/`], folder, maxFileBytes: 4000, maxFolderBytes: 2500 },
    ...{ timeoutMs: 10_000, metrics, now: () => nowMs },
    ...options,
  })
}

async function fetchAll(client: Debuginfod, ...buildIds: string[]): Promise<string[]> {
  for (const buildId of buildIds) client.request(buildId)
  await client.idle()
  return client.takeArrived()
}

test('a debug file is kept by its build id, and each is asked for once', async () => {
  const client = open()
  expect(await fetchAll(client, 'aaaa01', 'aaaa01')).toEqual(['aaaa01'])
  expect(readFileSync(join(folder, 'aaaa01', 'debuginfo'))).toEqual(answers.aaaa01)
  expect(await fetchAll(client, 'aaaa01')).toEqual([])
  expect(asked).toEqual(['aaaa01'])
  expect(metrics.snapshot()).toMatchObject({ debug_files_fetched: 1 })
})

test('what no server has is asked for again after an hour', async () => {
  const client = open()
  await fetchAll(client, 'ffff01')
  await fetchAll(client, 'ffff01')
  nowMs = 3_600_001
  await fetchAll(client, 'ffff01')
  expect(asked).toEqual(['ffff01', 'ffff01'])
  expect(metrics.get('debug_files_missing')).toBe(2)
})

test.each([
  ['a file over the limit', 'bbbb01', {}],
  ['a page instead of a file', 'cccc01', {}],
  ['a server that does not end its answer', 'dddd01', { timeoutMs: 100 }],
  ['a server that fails', 'eeee01', {}],
])('%s leaves nothing behind', async (_, buildId, options) => {
  expect(await fetchAll(open(options), buildId)).toEqual([])
  expect(readdirSync(folder)).toEqual([])
  expect(metrics.get('debug_files_failed')).toBe(1)
})

test('the folder stays within its bytes, the oldest file goes', async () => {
  expect(await fetchAll(open(), 'aaaa01', 'aaaa02', 'aaaa03')).toEqual(['aaaa01', 'aaaa02', 'aaaa03'])
  expect(existsSync(join(folder, 'aaaa01'))).toBe(false)
  expect(existsSync(join(folder, 'aaaa03', 'debuginfo'))).toBe(true)
  expect(metrics.get('debug_files_evicted')).toBe(1)
})

test('a server that does not answer is passed over for the next', async () => {
  const { port } = server.address() as AddressInfo
  const client = open({ urls: ['http://127.0.0.1:1', `http://127.0.0.1:${port}/root`] })
  expect(await fetchAll(client, 'aaaa01')).toEqual(['aaaa01'])
})

test('only build ids are asked for, and closing ends what is under way', async () => {
  const client = open()
  expect(await fetchAll(client, '../../etc/passwd', '', 'AAAA')).toEqual([])
  client.request('dddd01')
  await client.close()
  expect(await fetchAll(client, 'aaaa01')).toEqual([])
  expect(asked.filter(buildId => buildId !== 'dddd01')).toEqual([])
})
