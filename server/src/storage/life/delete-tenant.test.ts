import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { defaultEngineSettings } from '../../engine/settings.ts'
import { type Engine, startEngine } from '../../engine/supervisor.ts'
import { createStoreClient, type StoreClient } from '../client.ts'
import { migrate } from '../migrate.ts'
import { TenantDeleter, type TenantDeleterOptions } from './delete-tenant.ts'
import { storeTables } from './tables.ts'

const quiet = { info() {}, warn() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'strobe-tenant-'))
let engine: Engine
let client: StoreClient

beforeAll(async () => {
  engine = await startEngine(defaultEngineSettings(join(folder, 'engine')), quiet)
  client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await migrate(client)
}, 60_000)
afterAll(async () => {
  await client.close()
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const owned = storeTables.filter(({ hasTenant }) => hasTenant).map(({ name }) => name)

/** Rows of a tenant by table. */
async function rowsOf(tenant: string): Promise<Record<string, number>> {
  const counts = owned.map(
    name => `(SELECT toUInt32(count()) FROM ${name} WHERE tenant = '${tenant}') AS ${name}`,
  )
  const result = await client.query({ query: `SELECT ${counts.join(', ')}`, format: 'JSONEachRow' })
  return (await result.json<Record<string, number>>())[0]!
}

/** Two rows of a tenant in every table, on two days, as unlike defaults as the keys need. */
async function fill(tenant: string): Promise<void> {
  const columns = await client.query({
    query: `SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND is_in_primary_key AND name != 'tenant'`,
    format: 'JSONEachRow',
  })
  const keys = await columns.json<{ table: string; name: string; type: string }>()
  for (const table of owned) {
    const own = keys.filter(key => key.table === table)
    const cell = (type: string, n: number) =>
      /^Enum/.test(type)
        ? n - 1
        : /^DateTime/.test(type)
          ? 1_790_000_000 + n * 86_400
          : /Int/.test(type)
            ? n
            : `${n}`.padEnd(/16/.test(type) ? 16 : 1, '.')
    const extra: Record<string, unknown> = table === 'totals_1m' ? { value: 1 } : {}
    await client.insert({
      table,
      values: [1, 2].map(n => ({
        tenant,
        ...Object.fromEntries(own.map(({ name, type }) => [name, cell(type, n)])),
        ...extra,
      })),
      format: 'JSONEachRow',
    })
  }
}

function open(change: Partial<TenantDeleterOptions> = {}) {
  const calls: string[] = []
  const deleter = new TenantDeleter({
    client,
    revokeKeys: async tenant => void calls.push(`revoke ${tenant}`),
    renewEpoch: async () => void calls.push('epoch'),
    settleMs: 0,
    now: Date.now,
    log: quiet,
    ...change,
  })
  return { deleter, calls }
}

test('a tenant goes from every table, after kills too, and the others keep every row', async () => {
  for (const tenant of ['acme', 'acme2', 'default']) await fill(tenant)
  const before = await rowsOf('acme')
  // Otherwise nothing was proved.
  expect(Object.values(before).every(rows => rows > 0)).toBe(true)
  const others = [await rowsOf('acme2'), await rowsOf('default')]

  // Each process ends at its second rewrite; the next one goes on by itself.
  const left: number[] = []
  let ended = { deleter: open().deleter, failed: Promise.resolve() }
  for (let round = 0; round < 3; round++) {
    let rewrites = 0
    const { promise, resolve } = Promise.withResolvers<void>()
    const dying = new Proxy(client, {
      get(target, key) {
        const value = Reflect.get(target, key) as unknown
        if (key === 'command')
          return async (params: { query: string }) => {
            if (++rewrites === 3) throw new Error('killed')
            return target.command(params)
          }
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const { deleter } = open({ client: dying, log: { ...quiet, error: () => resolve() } })
    if (round === 0) expect(await deleter.begin('acme')).toMatchObject({ tenant: 'acme', doneAtMs: 0 })
    else await deleter.resume()
    ended = { deleter, failed: promise }
    await ended.failed
    left.push(Object.values(await rowsOf('acme')).filter(rows => rows > 0).length)
    expect((await deleter.list())[0]).toMatchObject({ tenant: 'acme', doneAtMs: 0 })
  }
  expect(left).toEqual([owned.length - 2, owned.length - 4, owned.length - 6])

  const { deleter, calls } = open()
  await deleter.resume()
  await vi.waitFor(async () => expect((await deleter.list())[0]!.doneAtMs).toBeGreaterThan(0), {
    timeout: 20_000,
  })
  await deleter.stop()
  expect(calls).toEqual(['revoke acme', 'epoch'])
  // The keys stay, revoked: without them the store would be open.
  expect(await rowsOf('acme')).toEqual({
    ...Object.fromEntries(owned.map(name => [name, 0])),
    api_keys: before.api_keys,
  })
  expect([await rowsOf('acme2'), await rowsOf('default')]).toEqual(others)
  // Nothing is left to do.
  const idle = open()
  await idle.deleter.resume()
  await idle.deleter.stop()
  expect(idle.calls).toEqual([])
}, 60_000)

test("the operator's own tenant cannot be deleted", async () => {
  await expect(open().deleter.begin('default')).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})
