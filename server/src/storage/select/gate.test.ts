import { expect, test } from 'vitest'
import { FairGate, type GateLimits } from './gate.ts'

const limits: GateLimits = {
  places: 2,
  longPlaces: 1,
  tenantPlaces: () => 2,
  tenantWaiting: () => 100,
  waitMs: 60_000,
}

/** Asks for places in order; `running` has the names of those who hold one, in the order they got it. */
function people(gate: FairGate) {
  const running: string[] = []
  const leave = new Map<string, () => void>()
  const failures = new Map<string, string>()
  return {
    running,
    failures,
    ask(name: string, options: { isLong?: boolean; signal?: AbortSignal } = {}) {
      gate.enter({ tenant: name[0]!, isLong: options.isLong ?? false }, options.signal).then(
        done => {
          running.push(name)
          leave.set(name, done)
        },
        (error: { code: string }) => failures.set(name, error.code),
      )
    },
    async leave(name: string) {
      leave.get(name)!()
      await settle()
    },
  }
}

const settle = () => new Promise(resolve => setImmediate(resolve))

test('a tenant with many waiting statements does not hold up another', async () => {
  const all = people(new FairGate(limits))
  for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'c1', 'b2']) all.ask(name)
  await settle()
  expect(all.running).toEqual(['a1', 'a2'])
  for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'a4']) await all.leave(name)
  expect(all.running).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5'])
})

test('a tenant never has all places when it may not', async () => {
  const all = people(new FairGate({ ...limits, places: 3, tenantPlaces: tenant => (tenant === 'a' ? 2 : 3) }))
  for (const name of ['a1', 'a2', 'a3', 'b1']) all.ask(name)
  await settle()
  expect(all.running).toEqual(['a1', 'a2', 'b1'])
  await all.leave('b1')
  expect(all.running).toHaveLength(3)
  await all.leave('a2')
  expect(all.running.at(-1)).toBe('a3')
})

test('a short statement passes long ones that may not run yet', async () => {
  const all = people(new FairGate(limits))
  all.ask('a1', { isLong: true })
  all.ask('a2', { isLong: true })
  all.ask('a3')
  await settle()
  expect(all.running).toEqual(['a1', 'a3'])
  await all.leave('a3')
  expect(all.running).toEqual(['a1', 'a3'])
  await all.leave('a1')
  expect(all.running.at(-1)).toBe('a2')
})

test('one that waits can go away, and its place in the line with it', async () => {
  const gate = new FairGate(limits)
  const all = people(gate)
  const controller = new AbortController()
  for (const name of ['a1', 'a2']) all.ask(name)
  all.ask('a3', { signal: controller.signal })
  all.ask('a4')
  await settle()
  controller.abort()
  await settle()
  expect(all.failures.get('a3')).toBe('QUERY_CANCELLED')
  expect(gate.waiting).toBe(1)
  await all.leave('a1')
  expect(all.running).toEqual(['a1', 'a2', 'a4'])
})

test('too many waiting, and too long a wait, are refused with limit, observed and retry time', async () => {
  const gate = new FairGate({ ...limits, tenantWaiting: () => 1, waitMs: 20 })
  const leave = await gate.enter({ tenant: 'a', isLong: false }, undefined)
  await gate.enter({ tenant: 'a', isLong: false }, undefined)
  const waiting = gate.enter({ tenant: 'a', isLong: false }, undefined)
  await expect(gate.enter({ tenant: 'a', isLong: false }, undefined)).rejects.toMatchObject({
    code: 'QUERIES_TOO_MANY',
    status: 429,
    details: { limitName: 'query_waiting', limit: 1, observed: 1, tenant: 'a', retryAfterMs: 1000 },
  })
  await expect(waiting).rejects.toMatchObject({
    code: 'QUERIES_TOO_MANY',
    details: { limitName: 'query_statements', limit: 2, observed: 2, waitMs: 20 },
  })
  expect(gate.waiting).toBe(0)
  leave()
  leave()
  // Leaving twice frees one place only.
  await gate.enter({ tenant: 'b', isLong: false }, undefined)
  const third = gate.enter({ tenant: 'b', isLong: false }, undefined)
  await expect(third).rejects.toMatchObject({ code: 'QUERIES_TOO_MANY' })
})
