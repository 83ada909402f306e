import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectIngest, type IngestConnection } from '@strobe/server'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { defaultEngineSettings } from '../server/src/engine/settings.ts'
import { type Engine, startEngine } from '../server/src/engine/supervisor.ts'
import {
  type IngestProcess,
  makeBatch,
  selectRows,
  startIngestProcess,
  stopIngestProcess,
} from './ingest-process.ts'
import { differences } from './kills.ts'

const folder = mkdtempSync(join(tmpdir(), 'strobe-steps-'))
let engine: Engine
let other: IngestProcess
let toOther: IngestConnection
let n = 0

beforeAll(async () => {
  const log = { info() {}, warn() {}, error() {} }
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), log)
  other = await open('other')
  toOther = connectIngest(`127.0.0.1:${other.grpcPort}`)
})

afterAll(async () => {
  toOther?.close()
  if (other) await stopIngestProcess(other)
  await engine?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function open(name: string, lastStep = '', signal = ''): Promise<IngestProcess> {
  const dataDir = join(folder, name)
  mkdirSync(dataDir, { recursive: true })
  return startIngestProcess(dataDir, lastStep, engine.address.socketPath, signal)
}

/** Fences that stand, by the batch's server having had nothing in the store. */
async function fences(): Promise<number> {
  const [row] = await selectRows(
    other.store,
    `SELECT toUInt32(uniqExact(service)) FROM profiles WHERE tenant = ''`,
  )
  return (row as [number])[0]
}

const isFrozen = (pid: number) => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

const steps = ['claimed', 'journaled', 'inserted', 'recorded'] as const
const fates = ['gone', 'back', 'frozen'] as const
const cases = steps
  .flatMap(step => fates.map(fate => ({ step, fate })))
  // With nothing in the journal, or nothing left to do, coming back is a start like any other.
  .filter(({ step, fate }) => fate !== 'back' || step === 'journaled' || step === 'inserted')

test.each(cases)(
  'a server that is $fate after it $step a batch: the other stores it, once',
  async ({ step, fate }) => {
    const name = `${step}-${fate}`
    const before = await fences()
    const server = await open(name, step, fate === 'frozen' ? 'SIGSTOP' : 'SIGKILL')
    const agent = connectIngest(`127.0.0.1:${server.grpcPort}`)
    const batch = makeBatch(++n)
    const first = agent.write(batch).catch((error: unknown) => error)
    if (fate === 'frozen')
      await vi.waitFor(() => expect(isFrozen(server.child.pid!)).toBe(true), {
        timeout: 20_000,
        interval: 10,
      })
    else await server.ended

    // Waits for the lease, then decides.
    const { duplicate } = await toOther.write(batch)
    const hasStored = step === 'inserted' || step === 'recorded'
    expect(duplicate).toBe(hasStored)
    expect((await fences()) - before).toBe(hasStored ? 0 : 1)
    expect(await differences(other.store, n)).toEqual([])

    if (fate === 'frozen') {
      server.child.kill('SIGCONT')
      // It had the batch, or learns that the other has it.
      expect(await first).toMatchObject({ duplicate: !hasStored })
      await stopIngestProcess(server)
    } else {
      agent.close()
      await server.store.close()
    }
    if (fate === 'back') {
      const again = await open(name)
      const retry = connectIngest(`127.0.0.1:${again.grpcPort}`)
      expect(await retry.write(batch)).toMatchObject({ duplicate: true })
      expect(await retry.write(makeBatch(++n))).toMatchObject({ duplicate: false })
      retry.close()
      await stopIngestProcess(again)
    }
    agent.close()
    expect(await differences(other.store, n)).toEqual([])
  },
)
