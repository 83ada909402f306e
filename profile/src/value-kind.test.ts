import { expect, test } from 'vitest'
import { parseProfileTypeId } from './type-id.ts'
import { readDeltaMark, valueKindOf } from './value-kind.ts'

test.each([
  ['process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'sum'],
  ['process_cpu:samples:count:cpu:nanoseconds', 'sum'],
  ['wall:wall:nanoseconds:wallclock:nanoseconds', 'sum'],
  ['memory:inuse_space:bytes:space:bytes', 'gauge'],
  ['memory:inuse_objects:count:space:bytes', 'gauge'],
  ['memory:alloc_space:bytes:space:bytes', 'cumulative'],
  ['memory:alloc_objects:count:space:bytes', 'cumulative'],
  ['memory:alloc_space:bytes:space:bytes:delta', 'sum'],
  ['memory:alloc_in_new_tlab_bytes:bytes:space:bytes', 'sum'],
  ['memory:alloc-space:bytes::', 'sum'],
  ['memory:space:bytes:space:bytes', 'gauge'],
  ['memory:heap-live-size:bytes::', 'gauge'],
  ['mutex:contentions:count:contentions:count', 'cumulative'],
  ['mutex:delay:nanoseconds:contentions:count', 'cumulative'],
  ['block:delay:nanoseconds:contentions:count', 'cumulative'],
  ['block:delay:nanoseconds:contentions:count:delta', 'sum'],
  ['off_cpu:delay:nanoseconds:off_cpu:nanoseconds', 'sum'],
  ['goroutine:goroutine:count:goroutine:count', 'gauge'],
  ['goroutines:goroutine:count:goroutine:count', 'gauge'],
  ['threadcreate:threadcreate:count:threadcreate:count', 'gauge'],
])('%s is a %s', (id, kind) => {
  expect(valueKindOf(parseProfileTypeId(id))).toBe(kind)
})

const alloc = parseProfileTypeId('memory:alloc_space:bytes:space:bytes')
const inuse = parseProfileTypeId('memory:inuse_space:bytes:space:bytes')
const service = { name: 'service_name', value: 'a' }
const mark = (value: string) => ({ name: '__delta__', value })

test.each([
  ['a plain counter', alloc, [service], 0n, false],
  ['the mark of a sender that subtracted', alloc, [mark('false'), service], 0n, true],
  ['the mark of one that did not', alloc, [mark('true'), service], 0n, false],
  ['a duration', alloc, [service], 30_000_000_000n, true],
  ['a level beside a delta', inuse, [mark('false'), service], 30_000_000_000n, false],
] as const)('%s: delta %s', (_, type, labels, durationNs, isDelta) => {
  expect(readDeltaMark(type, labels, durationNs)).toEqual({ isDelta, labels: [service] })
})
