import { afterAll, beforeAll, expect, test } from 'vitest'
import { insertBinary } from './client.ts'
import { buildFence, readFence, tokenSettings } from './fence.ts'
import { parsePlaces } from './places.ts'
import { RowWriter } from './row-writer.ts'
import { startTestStore, type TestStore } from './test-store.ts'

let store: TestStore

beforeAll(async () => {
  store = await startTestStore()
}, 60_000)
afterAll(() => store?.stop(), 60_000)

interface Row {
  retention?: number
  /** Hours before the test's noon. */
  hoursAgo: number
  value: number
  /** Equal samples of one profile; 0 for an idle series. */
  samples?: number
}

const noonMs = Date.UTC(2026, 10, 25, 12)
let groups = 0

/** A group of one profile per row, of a service of its own, and where its rows go. */
function groupOf(...rows: Row[]) {
  const group = `group-${groups++}`
  const columns =
    'tenant service type time duration_ns original_time received_at retention stack_ids labelset_ids vals'
  const timeMs = (row: Row) => noonMs - row.hoursAgo * 3_600_000
  return {
    group,
    places: parsePlaces(
      rows.map(
        row => `${row.retention ?? 0}/${Math.floor(timeMs(row) / 900_000)}/${row.samples === 0 ? 0 : 1}`,
      ),
    ),
    async insert() {
      const writer = new RowWriter()
      for (const row of rows) {
        const samples = row.samples ?? 1
        writer.string('acme')
        writer.string(group)
        writer.string('cpu')
        writer.int64(BigInt(timeMs(row)))
        writer.int64(1_000_000_000n)
        writer.int64(0n)
        writer.int64(BigInt(noonMs))
        writer.uint8(row.retention ?? 0)
        writer.array64(BigUint64Array.from({ length: samples }, (_, index) => BigInt(index)))
        writer.array64(new BigUint64Array(samples))
        writer.array64(new BigInt64Array(samples).fill(BigInt(row.value)))
      }
      await insertBinary(store.client, 'ingest', columns.split(' '), writer.bytes(), tokenSettings(group))
    },
    async stored() {
      const [row] = await store.select(
        `SELECT (SELECT toFloat64(sum(value)) FROM samples WHERE tenant = 'acme' AND service = {group:String}),
          (SELECT toUInt32(count()) FROM profiles WHERE tenant = 'acme' AND service = {group:String}),
          (SELECT toUInt32(sum(profiles)) FROM totals_1m WHERE tenant = 'acme' AND service = {group:String})`,
        { group },
      )
      return row
    },
    fence: (places = parsePlaces([])) => buildFence(store.client, group, places),
    state: (places: ReturnType<typeof parsePlaces>) => readFence(store.client, group, places),
  }
}

const twoDays: Row[] = [
  { hoursAgo: 1, value: 5 },
  { hoursAgo: 20, value: 7 },
  { hoursAgo: 20.5, value: 0, samples: 0 },
  { retention: 1, hoursAgo: 1, value: 11 },
]

test('a fence that comes first keeps all of a group out, for good', async () => {
  const { fence, insert, state, stored, places } = groupOf(...twoDays)
  await fence(places)
  expect(await state(places)).toBe('fenced')
  await insert()
  await insert()
  expect(await stored()).toEqual([0, 0, 0])
  expect(await state(places)).toBe('fenced')
})

test('a fence that comes later changes nothing', async () => {
  const { fence, insert, state, stored, places } = groupOf(...twoDays)
  await insert()
  expect(await state(places)).toBe('clear')
  await fence(places)
  await fence(places)
  expect(await stored()).toEqual([23, 4, 4])
  expect(await state(places)).toBe('clear')
})

test('idle profiles alone', async () => {
  const { fence, insert, state, stored, places } = groupOf({ hoursAgo: 2, value: 0, samples: 0 })
  await insert()
  await fence(places)
  expect(await stored()).toEqual([0, 1, 1])
  expect(await state(places)).toBe('clear')
})

test('a million samples are one block, which a fence keeps out', async () => {
  const rows = [
    { hoursAgo: 3, value: 1, samples: 1_200_000 },
    { hoursAgo: 3, value: 1, samples: 1_200_000 },
  ]
  const fenced = groupOf(...rows)
  await fenced.fence(fenced.places)
  await fenced.insert()
  expect(await fenced.stored()).toEqual([0, 0, 0])
  const first = groupOf(...rows)
  await first.insert()
  await first.fence(first.places)
  await first.insert()
  expect(await first.stored()).toEqual([2_400_000, 2, 2])
  expect(await first.state(first.places)).toBe('clear')
})

test('what went only half way is told', async () => {
  const { fence, insert, state, stored, places } = groupOf(...twoDays)
  // Of the two days the fence of one comes before the group, as if both were under way.
  await fence(places.slice(0, 1))
  await insert()
  await fence(places)
  expect(await stored()).not.toEqual([23, 4, 4])
  expect(await state(places)).toBe('torn')
})

test('places of several batches are one list', () => {
  expect(parsePlaces(['0/10/0 1/11/1', '0/10/1', ''])).toEqual([
    { retention: 0, quarter: 10, hasSamples: true },
    { retention: 1, quarter: 11, hasSamples: true },
  ])
})
