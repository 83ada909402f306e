import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrations } from './migrate.ts'
import { TenantStore } from './tenants.ts'
import { startTestStore, type TestStore } from './test-store.ts'

let store: TestStore

beforeAll(async () => {
  store = await startTestStore()
}, 60_000)
afterAll(() => store?.stop(), 60_000)

function openTenants(): TenantStore {
  return new TenantStore(store.client, { refreshMs: 60_000, onFailure() {} })
}

test('values that are kept outlive merges, for every server; others do not', async () => {
  const tenants = openTenants()
  for (const value of ['a', 'a,b', '']) await tenants.setKept('acme', 'list', value)
  for (const value of ['1', '2']) await tenants.set('acme', 'depth', value)
  await tenants.setKept('globex', 'list', 'c')
  await store.client.command({ query: 'OPTIMIZE TABLE tenant_settings FINAL' })
  const other = openTenants()
  await other.start()
  for (const each of [tenants, other]) {
    const past = each.past('acme', 'list')
    expect(past.map(({ value }) => value)).toEqual(['a', 'a,b', ''])
    expect(past[0]!.sinceMs).toBeLessThanOrEqual(past[1]!.sinceMs)
    expect(Math.abs(past[2]!.sinceMs - Date.now())).toBeLessThan(60_000)
    expect([...each.settings('acme')]).toEqual([['depth', '2']])
    expect(each.past('acme', 'depth')).toEqual([])
    expect([...each.settings('globex')]).toEqual([['list', 'c']])
  }
  other.stop()
  expect(await store.select("SELECT toUInt32(count()) FROM tenant_settings WHERE name = 'depth'")).toEqual([
    [1],
  ])
})

test('the statements of its migration may run again', async () => {
  const groups = migrations.find(({ name }) => name === '0011-groups')!
  for (const query of groups.statements) await store.client.command({ query })
})
