import { expect, test } from 'vitest'
import { hourOf, SeenIds, seenIdsBytes } from './seen-ids.ts'

const hour = hourOf(Date.UTC(2026, 10, 25))
const open = (capacity = 1024) => new SeenIds(new SharedArrayBuffer(seenIdsBytes(capacity)))

test('an id is seen for a day, in every thread, until all is forgotten', () => {
  const buffer = new SharedArrayBuffer(seenIdsBytes(1024))
  const [writer, reader] = [new SeenIds(buffer), new SeenIds(buffer)]
  writer.mark(24, 0xffffffff, hour)
  expect([
    reader.has(24, 0xffffffff, hour),
    reader.has(24, 0, hour),
    reader.has(25, 0xffffffff, hour),
  ]).toEqual([true, false, false])
  expect([reader.has(24, 0xffffffff, hour + 23), reader.has(24, 0xffffffff, hour + 24)]).toEqual([
    true,
    false,
  ])
  expect(reader.size).toBe(1)
  const before = reader.version
  writer.clear()
  expect([reader.has(24, 0xffffffff, hour), reader.size]).toEqual([false, 0])
  expect(reader.version).not.toBe(before)
})

test('ids are due again at hours of their own', () => {
  const seen = open()
  const hoursLeft = Array.from({ length: 24 }, (_, low) => {
    seen.mark(low, 1, hour)
    let left = 0
    while (seen.has(low, 1, hour + left)) left++
    return left
  })
  expect(hoursLeft.sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, at) => at + 1))
})

test('it stays as large as it is, and ids that are asked for stay in it', () => {
  const seen = open(1024)
  for (let id = 0; id < 100; id++) seen.mark(Math.imul(id, 0x9e3779b1), 1, hour)
  for (let id = 100; id < 20_000; id++) {
    seen.mark(Math.imul(id, 0x9e3779b1), 1, hour + 1)
    if (id === 2000) for (let used = 0; used < 100; used++) seen.has(Math.imul(used, 0x9e3779b1), 1, hour + 2)
  }
  expect(seen.size).toBe(1024)
  const isThere = (id: number) => seen.has(Math.imul(id, 0x9e3779b1), 1, hour + 2)
  const late = Array.from({ length: 20_000 }, (_, id) => id).filter(isThere)
  expect(late.length).toBeLessThanOrEqual(1024)
})
