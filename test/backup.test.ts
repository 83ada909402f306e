import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { create } from '@bufbuild/protobuf'
import { WriteRequestSchema } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createStoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'
import { makeBatch, selectRows } from './ingest-process.ts'

const cli = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'strobe-backup-'))
const backup = join(folder, 'backups', 'monday')
const copy = join(folder, 'copy')
let server: TestServer

beforeAll(async () => {
  server = await startTestServer({ backups: join(folder, 'backups') })
})
afterAll(async () => {
  await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function strobe(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli, ...args], {
      env: { ...process.env, STROBE_URL: server.url },
    })
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

interface Answers {
  fib: unknown
  names: unknown
}
async function answersOf(url: string, until: number): Promise<Answers> {
  const get = async (path: string, parameters: Record<string, string>) => {
    const target = new URL(`api/v1/${path}`, url)
    for (const [name, value] of Object.entries({
      from: String(until - 3_600_000),
      to: String(until),
      ...parameters,
    }))
      target.searchParams.set(name, value)
    const { meta: _meta, ...rest } = (await (await fetch(target)).json()) as Record<string, unknown>
    return rest
  }
  return {
    fib: await get('flamegraph', { type: 'cpu', query: '{service_name="fib"}' }),
    names: await get('labels', { query: '{service_name="fib"}' }),
  }
}

test('a backup made while batches arrive, restored elsewhere by another process, answers the same', async () => {
  for (const host of ['h1', 'h2'])
    await server.push(await readConformance('pprof/go-cpu-fib.pb.gz'), {
      service: 'fib',
      'label.host_name': host,
    })
  const until = Date.now() + 60_000
  const before = await answersOf(server.url, until)
  expect(JSON.stringify(before.fib)).toContain('math/big.addVV')

  const connection = connectIngest(server.grpcAddress)
  let isRunning = true
  let sent = 0
  let answered = 0
  const write = async () => {
    while (isRunning) {
      await connection.write(create(WriteRequestSchema, makeBatch(++sent)))
      answered++
    }
  }
  const writing = Promise.all([write(), write(), write(), write()])
  await vi.waitFor(() => expect(answered).toBeGreaterThan(4), { timeout: 30_000 })
  const made = await strobe('admin', 'backup', 'monday', '--json')
  isRunning = false
  await writing
  connection.close()
  expect(made).toMatchObject({ code: 0 })
  expect(JSON.parse(made.out)).toMatchObject({ name: 'monday', folder: backup, state: 'done' })
  expect(readdirSync(join(server.dataDir, 'engine/store/shadow'))).toEqual(['increment.txt'])
  expect((await strobe('admin', 'verify', backup)).out).toMatch(/^whole: \d+ files/)

  const restored = await strobe('admin', 'restore', backup, '--data', copy)
  expect(restored).toMatchObject({ code: 0 })
  const other = spawn(process.execPath, [cli, 'server', '--data', copy, '--port', '0', '--grpc-port', '0'], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  try {
    const [ready] = (await once(other, 'message')) as [{ url: string }]
    expect(await answersOf(ready.url, until)).toEqual(before)

    const client = createStoreClient(
      { kind: 'socket', socketPath: join(copy, 'engine/engine.sock') },
      { requestTimeoutMs: 30_000 },
    )
    // Each batch is there whole or not at all: 3 profiles and 3 stacks, 2000 n + 3 by their values.
    const [[recorded, stored, samples, stacks]] = (await selectRows(
      client,
      `SELECT toUInt32((SELECT sum(profiles) FROM batches)), toUInt32((SELECT count() FROM profiles)),
        toUInt32((SELECT count() FROM samples)), toUInt32((SELECT sum(stacks) FROM profiles))`,
    )) as [number[]]
    expect(stored).toBe(recorded)
    expect(samples).toBe(stacks)
    const ids = (await selectRows(
      client,
      "SELECT DISTINCT toString(batch_id) FROM batches WHERE startsWith(toString(batch_id), 'batch ')",
    )) as [string][]
    const numbers = ids.map(([id]) => Number.parseInt(id.slice('batch '.length), 10))
    expect(numbers.length).toBeGreaterThan(4)
    expect(stored).toBe(2 + 3 * numbers.length)
    expect(
      await selectRows(client, "SELECT toUInt32(sum(value)) FROM samples WHERE service = 'api'"),
    ).toEqual([[numbers.reduce((sum, n) => sum + 2000 * n + 3, 0)]])
    // The dimensions that the samples name.
    expect(
      await selectRows(
        client,
        'SELECT toUInt32(count()) FROM samples WHERE stack_id NOT IN (SELECT stack_id FROM stacks)',
      ),
    ).toEqual([[0]])
    const epochs = await selectRows(
      client,
      "SELECT value FROM meta WHERE key = 'store_epoch' ORDER BY at DESC, value LIMIT 1",
    )
    await client.close()
    const origin = createStoreClient(
      { kind: 'socket', socketPath: join(server.dataDir, 'engine/engine.sock') },
      { requestTimeoutMs: 30_000 },
    )
    expect(
      await selectRows(
        origin,
        "SELECT value FROM meta WHERE key = 'store_epoch' ORDER BY at DESC, value LIMIT 1",
      ),
    ).not.toEqual(epochs)
    await origin.close()
  } finally {
    other.kill()
    await once(other, 'close')
  }
})

test('what a killed backup left is gone after the next start', async () => {
  const frozen = join(copy, 'engine/store/shadow/strobe0123456789ab/part')
  const half = join(copy, 'backups/tuesday.partial')
  mkdirSync(frozen, { recursive: true })
  mkdirSync(half, { recursive: true })
  const again = await startTestServer({ dataDir: copy })
  await again.stop()
  expect(existsSync(frozen)).toBe(false)
  expect(existsSync(half)).toBe(false)
})

test('what cannot be right is refused', async () => {
  const again = await strobe('admin', 'backup', 'monday')
  expect(again.err).toContain('BACKUP_EXISTS')
  expect((await strobe('admin', 'backup', '../elsewhere')).err).toContain('is no name of a backup')

  const full = await strobe('admin', 'restore', backup, '--data', copy)
  expect(full.code).toBe(1)
  expect(full.err).toContain('STORE_NOT_EMPTY')

  const none = await strobe('admin', 'verify', folder)
  expect(none.err).toContain('BACKUP_DAMAGED')
})

test('a damaged backup is told with the names of its files, and restores nothing', async () => {
  const part = readdirSync(join(backup, 'samples'))[0]!
  const flipped = join('samples', part, 'data.bin')
  const file = readdirSync(join(backup, 'samples', part)).includes('data.bin')
    ? flipped
    : join('samples', part, 'value.bin')
  const bytes = readFileSync(join(backup, file))
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(join(backup, file), bytes)
  const stacks = join('stacks', readdirSync(join(backup, 'stacks'))[0]!, 'count.txt')
  rmSync(join(backup, stacks))
  const verified = await strobe('admin', 'verify', backup)
  expect(verified.code).toBe(1)
  expect(verified.err).toContain('BACKUP_DAMAGED')
  expect(verified.err).toContain(file)
  expect(verified.err).toContain(stacks)

  const target = join(folder, 'never')
  mkdirSync(target)
  expect((await strobe('admin', 'restore', backup, '--data', target)).err).toContain('BACKUP_DAMAGED')
  expect(readdirSync(target)).toEqual([])

  truncateSync(join(backup, 'strobe-backup.json'), 100)
  expect((await strobe('admin', 'verify', backup)).err).toContain('strobe-backup.json')
})
