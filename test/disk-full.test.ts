import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { WriteRequestSchema } from '@strobe/proto'
import { connectIngest } from '@strobe/server'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { AgentMetrics } from '../agent/src/metrics.ts'
import { BackOff } from '../agent/src/ship/back-off.ts'
import { IngestClient } from '../agent/src/ship/ingest-client.ts'
import { Shipper } from '../agent/src/ship/shipper.ts'
import { Spool } from '../agent/src/ship/spool.ts'
import { createStoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'
import { makeBatch, selectRows } from './ingest-process.ts'

const reason = process.getuid?.() === 0 ? '' : ' (not run: needs root, to mount a small disk)'
const folder = mkdtempSync(join(tmpdir(), 'strobe-full-'))
const disk = join(folder, 'disk')
const filler = join(disk, 'filler')

/** Writes until so many bytes are left. */
function fillDisk(leftBytes: number): void {
  const file = openSync(filler, 'a')
  try {
    for (;;) {
      const { bavail, bsize } = statfsSync(disk)
      const more = Math.min(1 << 20, bavail * bsize - leftBytes)
      if (more <= 0) return
      writeSync(file, Buffer.alloc(more))
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

describe.skipIf(reason !== '')(`a data folder on a disk of 96 MiB${reason}`, () => {
  let server: TestServer
  const start = async () => {
    server = await startTestServer({ dataDir: disk })
  }
  const range = { from: 'now-1h', to: 'now+1m' }
  const fib = async () => {
    const { status, body } = await server.get('functions', {
      ...range,
      type: 'cpu',
      query: '{service_name="fib"}',
    })
    const { total, functions } = body as { total: number; functions: unknown[] }
    return { status, total, functions }
  }
  const diskState = async () =>
    ((await server.get('status')).body as { disk: { state: string; reason: string } }).disk

  beforeAll(async () => {
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m,mode=700', 'strobe-test', disk])
    await start()
  })
  afterAll(async () => {
    await server?.stop()
    execFileSync('umount', ['-l', disk])
    rmSync(folder, { recursive: true, force: true })
  })

  test('full, it refuses writes with the reason, serves, starts again, and takes up what waited', async () => {
    await server.push(await readConformance('pprof/go-cpu-fib.pb.gz'), { service: 'fib' })
    const answer = await fib()
    expect(answer).toMatchObject({ status: 200, total: 29_740_000_000 })
    let connection = connectIngest(server.grpcAddress)
    await connection.write(create(WriteRequestSchema, makeBatch(1)))

    fillDisk(2 << 20)
    await vi.waitFor(async () => expect(await diskState()).toMatchObject({ state: 'refusing' }), {
      timeout: 30_000,
      interval: 200,
    })
    expect((await diskState()).reason).toMatch(
      /^2\.\d MiB are free .* \(STROBE_DISK_REFUSE\) nothing is taken; free space there/,
    )
    const refused = await connection
      .write(create(WriteRequestSchema, makeBatch(2)))
      .catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 14, details: expect.stringMatching(/^STORE_FULL: /) as string })
    const upload = await server.push(await readConformance('pprof/go-cpu-fib.pb.gz'), { service: 'fib' })
    expect(upload).toMatchObject({ status: 507, body: { code: 'STORE_FULL' } })
    expect(await fib()).toEqual(answer)

    // An agent keeps what is refused.
    const spoolFolder = join(folder, 'spool')
    const spool = await Spool.open(spoolFolder, 1 << 20, () => {})
    let client = new IngestClient(server.grpcAddress, 5_000)
    const metrics = new AgentMetrics()
    const states: string[] = []
    const shipper = new Shipper({
      ...{ client, spool, metrics, backOff: new BackOff(20, 200) },
      onState: failure => states.push(failure),
    })
    for (const n of [2, 3, 4]) await shipper.put(create(WriteRequestSchema, makeBatch(n)))
    await vi.waitFor(() => expect(states.join()).toContain('STORE_FULL'), { timeout: 10_000 })
    await shipper.close(0)
    client.close()
    expect(readdirSync(spoolFolder)).toHaveLength(3)

    // Not a byte is left, and the server begins anew.
    connection.close()
    await server.stop()
    fillDisk(0)
    await start()
    expect(await fib()).toEqual(answer)
    expect(await diskState()).toMatchObject({ state: 'refusing' })
    expect(
      await server.push(await readConformance('pprof/go-cpu-fib.pb.gz'), { service: 'fib' }),
    ).toMatchObject({
      status: 507,
      body: { code: 'STORE_FULL' },
    })

    rmSync(filler)
    await vi.waitFor(async () => expect(await diskState()).toMatchObject({ state: 'ok' }), {
      timeout: 30_000,
      interval: 200,
    })
    client = new IngestClient(server.grpcAddress, 5_000)
    const second = new Shipper({
      client,
      spool: await Spool.open(spoolFolder, 1 << 20, () => {}),
      metrics,
      backOff: new BackOff(20, 200),
      onState() {},
    })
    await vi.waitFor(() => expect(metrics.get('batches_sent')).toBe(3), { timeout: 20_000 })
    await second.close(1_000)
    client.close()
    // A retry of what was acknowledged before the disk was full is known.
    connection = connectIngest(server.grpcAddress)
    expect((await connection.write(create(WriteRequestSchema, makeBatch(1)))).duplicate).toBe(true)
    connection.close()
    const store = createStoreClient(
      { kind: 'socket', socketPath: join(disk, 'engine/engine.sock') },
      { requestTimeoutMs: 30_000 },
    )
    // Batches 1 to 4, three profiles each, 2000 n + 3 in all.
    expect(
      await selectRows(
        store,
        "SELECT toUInt32(count()), toUInt32(sum(value)) FROM profiles WHERE service = 'api'",
      ),
    ).toEqual([[12, 20_012]])
    await store.close()
    expect(await fib()).toMatchObject({ total: 29_740_000_000 })
  })
})
