import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { migrate } from '../migrate.ts'
import * as first from './0001-first.ts'
import * as smallerRows from './0006-smaller-rows.ts'

const folder = mkdtempSync(join(tmpdir(), 'strobe-smaller-rows-'))
let engine: Engine
let client: StoreClient

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), {
    info() {},
    warn() {},
    error() {},
  })
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
}, 60_000)

afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const rows = async (query: string) => (await client.query({ query, format: 'JSONCompactEachRow' })).json()

/** A profile at that second of 2026-11-25, 00:00 with two stacks, as servers of every version insert it. */
const insert = (second: number, value: number) =>
  client.command({
    query: `INSERT INTO ingest (tenant, service, type, time, series_id, batch_id, period, stack_ids, labelset_ids, vals)
      SELECT 'default', 'api', 't', toDateTime64('2026-11-25 00:00:00', 3) + ${second}, 7,
        unhex(repeat('ab', 16)), 10, [1, 2], [0, 0], [${value}, ${value * 10}]`,
  })

test('rows from before and after are there, also once they are merged', async () => {
  await migrate(client, [first])
  await insert(1, 10)
  await insert(3599, -20)
  await migrate(client, [first, smallerRows])
  await insert(2, 9_000_000_000_000)
  // As after a crash between the statements and their record.
  for (const query of smallerRows.statements) await client.command({ query })

  const profiles = [
    ['2026-11-25 00:00:01.000', '110', 2],
    ['2026-11-25 00:00:02.000', '99000000000000', 2],
    ['2026-11-25 00:59:59.000', '-220', 2],
  ]
  const samples = [
    ['1', '2026-11-25 00:00:01', '10'],
    ['1', '2026-11-25 00:00:02', '9000000000000'],
    ['1', '2026-11-25 00:59:59', '-20'],
    ['2', '2026-11-25 00:00:01', '100'],
    ['2', '2026-11-25 00:00:02', '90000000000000'],
    ['2', '2026-11-25 00:59:59', '-200'],
  ]
  const check = async () => {
    expect(await rows('SELECT time, toString(value), stacks FROM profiles ORDER BY time')).toEqual(profiles)
    expect(
      await rows('SELECT toString(stack_id), time, toString(value) FROM samples ORDER BY stack_id, time'),
    ).toEqual(samples)
  }
  await check()
  for (const table of ['profiles', 'samples'])
    await client.command({ query: `OPTIMIZE TABLE ${table} FINAL` })
  await check()
  expect(
    await rows(
      "SELECT column FROM system.parts_columns WHERE table = 'profiles' AND active AND column = 'batch_id'",
    ),
  ).toEqual([])
})
