import { expect, test } from 'vitest'
import { nativeProcess, nativeWindow } from '../testing.ts'
import { type ProcessStat, parseProcessStat } from './process-stat.ts'
import { type ObservedWindow, ProcessTable } from './process-table.ts'
import { ProfilingTarget } from './target.ts'

const second = 1_000_000_000n
const periodNs = 10_000_000

/** A host whose /proc the test writes: CPU nanoseconds by pid. */
function testTable(options: { maxSeries?: number } = {}) {
  const alive = new Map<number, ProcessStat>()
  const table = new ProcessTable({
    ...{ hostName: 'h', periodNs, kernelThreadResult: 2, maxSeries: options.maxSeries ?? 100 },
    readStat: pid => alive.get(pid) ?? 'gone',
  })
  const live = (pid: number, startBoottime: bigint, cpuNs: number) =>
    alive.set(pid, { parentPid: 1, startBoottime, cpuNs })
  return { table, live, kill: (pid: number) => alive.delete(pid) }
}

const expectSeries = (observed: ObservedWindow) =>
  expect(
    observed.series.map(
      ({ labels, expected }) => `${labels.find(l => l[0] === 'service_name')?.[1]} ${expected}`,
    ),
  )

test('expected samples are the CPU time since the last window over the period', () => {
  const { table, live } = testTable()
  const api = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: second })
  const window = nativeWindow([api], [{ process: 0, stack: [], count: 90 }])
  live(7, second, 5e9)
  // Running since before the first window: what it used until now is unknown, the samples stand for it.
  expectSeries(table.observe(window, 100n * second)).toEqual(['api 90'])
  live(7, second, 6e9)
  expectSeries(table.observe(window, 110n * second)).toEqual(['api 100'])
})

test('a process that started in the window is expected to have been seen from its start', () => {
  const { table, live } = testTable()
  live(7, 101n * second, 2e9)
  const api = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: 101n * second })
  const observed = table.observe(nativeWindow([api], [{ process: 0, stack: [], count: 190 }]), 100n * second)
  expectSeries(observed).toEqual(['api 200'])
})

test('a live process is reported while it idles, and not after its end', () => {
  const { table, live, kill } = testTable()
  live(7, second, 1e9)
  const api = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: second })
  table.observe(nativeWindow([api], [{ process: 0, stack: [] }]), 100n * second)
  live(7, second, 1.02e9)
  expectSeries(table.observe(nativeWindow([], []), 110n * second)).toEqual(['api 2'])
  kill(7)
  expectSeries(table.observe(nativeWindow([], []), 120n * second)).toEqual([])
})

test('a pid that came back is another process', () => {
  const { table, live } = testTable()
  live(7, second, 1e9)
  const api = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: second })
  table.observe(nativeWindow([api], [{ process: 0, stack: [] }]), 100n * second)
  live(7, 105n * second, 0)
  expectSeries(table.observe(nativeWindow([], []), 110n * second)).toEqual([])
})

test('short-lived helpers, and theirs, count for the service that started them', () => {
  const { table, live } = testTable()
  live(7, second, 1e9)
  const api = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: second })
  const convert = nativeProcess({ pid: 8, parentPid: 7, exe: '/bin/convert', startBoottime: 102n * second })
  const identify = nativeProcess({ pid: 9, parentPid: 8, exe: '/bin/identify', startBoottime: 103n * second })
  const samples = [0, 1, 2].map(process => ({ process, stack: [] }))
  const observed = table.observe(nativeWindow([identify, convert, api], samples), 100n * second)
  expect(
    observed.series.every(series => series.labels.some(l => l[0] === 'service_name' && l[1] === 'api')),
  ).toBe(true)
})

test('a program that worked for a second and ended is a service, not a helper of who started it', () => {
  const { table, live } = testTable()
  live(7, second, 1e9)
  const runner = nativeProcess({ pid: 7, exe: '/bin/runner', startBoottime: second })
  const job = nativeProcess({ pid: 8, parentPid: 7, exe: '/bin/job', startBoottime: 102n * second })
  const samples = [
    { process: 0, stack: [] },
    { process: 1, stack: [], count: 100 },
  ]
  expectSeries(table.observe(nativeWindow([runner, job], samples), 100n * second)).toEqual([
    'runner 1',
    'job 100',
  ])
})

test('commands of a shell and children that live on keep their own name', () => {
  const { table, live } = testTable()
  live(7, second, 1e9)
  live(8, second, 1e9)
  live(10, 102n * second, 1e9)
  const bash = nativeProcess({ pid: 7, exe: '/bin/bash', cmdline: ['bash'], startBoottime: second })
  const api = nativeProcess({ pid: 8, exe: '/bin/api', startBoottime: second })
  const sort = nativeProcess({ pid: 9, parentPid: 7, exe: '/bin/sort', startBoottime: 102n * second })
  const worker = nativeProcess({ pid: 10, parentPid: 8, exe: '/bin/worker', startBoottime: 102n * second })
  const samples = [0, 1, 2, 3].map(process => ({ process, stack: [] }))
  expectSeries(table.observe(nativeWindow([bash, api, sort, worker], samples), 100n * second)).toEqual([
    'bash 1',
    'api 1',
    'sort 1',
    'worker 100',
  ])
})

test('label sets over the limit are added up in the service other', () => {
  const { table, live } = testTable({ maxSeries: 2 })
  const processes = ['a', 'b', 'c', 'd'].map((name, index) => {
    live(index + 2, second, 0)
    return nativeProcess({ pid: index + 2, exe: `/bin/${name}`, startBoottime: second })
  })
  const samples = processes.map((_, process) => ({ process, stack: [] }))
  const observed = table.observe(nativeWindow(processes, samples), 100n * second)
  expectSeries(observed).toEqual(['a 1', 'b 1', 'other 2'])
  expect([...observed.seriesOfProcess]).toEqual([0, 1, 2, 2])
})

test('a rule drops a process, renames a service with its helpers, and cannot take its name away', () => {
  const alive = new Map([7, 8, 9].map(pid => [pid, { parentPid: 1, startBoottime: second, cpuNs: 0 }]))
  const table = new ProcessTable({
    ...{ hostName: 'h', periodNs, kernelThreadResult: 2, maxSeries: 9 },
    readStat: pid => alive.get(pid) ?? 'gone',
    relabel: (labels, sources) => {
      const path = sources.find(([name]) => name === '__process_executable_path')![1]
      if (path === '/bin/secret') return null
      if (path === '/bin/api') return [['service_name', 'shop']]
      return path === '/bin/bare' ? [] : labels
    },
  })
  const live = ['api', 'secret', 'bare'].map((name, index) =>
    nativeProcess({ pid: 7 + index, exe: `/bin/${name}`, startBoottime: second }),
  )
  const helper = nativeProcess({ pid: 20, parentPid: 7, exe: '/bin/sort', startBoottime: 102n * second })
  const samples = [0, 1, 2, 3].map(process => ({ process, stack: [], count: process + 1 }))
  const observed = table.observe(nativeWindow([...live, helper], samples), 100n * second)
  expectSeries(observed).toEqual(['shop 1', 'bare 3', 'shop 4'])
  expect([...observed.seriesOfProcess]).toEqual([0, -1, 1, 2])
  expect(observed.refusedSamples).toBe(2)
  expectSeries(table.observe(nativeWindow([], []), 110n * second)).toEqual(['shop 0', 'bare 0'])
})

test('an image that exec replaced shares the time of its process by samples', () => {
  const { table, live } = testTable()
  live(7, 101n * second, 1e9)
  const before = nativeProcess({ pid: 7, exe: '/bin/env', startBoottime: 101n * second })
  const after = nativeProcess({ pid: 7, exe: '/bin/api', startBoottime: 101n * second })
  const samples = [
    { process: 0, stack: [], count: 1 },
    { process: 1, stack: [], count: 3 },
  ]
  expectSeries(table.observe(nativeWindow([before, after], samples), 100n * second)).toEqual([
    'env 25',
    'api 75',
  ])
})

test('/proc/PID/stat is read after the last parenthesis', () => {
  const text = '42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 9 9 20 0 1 0 12345 0 0'
  expect(parseProcessStat(text)).toEqual({ parentPid: 7, cpuNs: 2e9, startBoottime: 123_450_000_000n })
})

test('a target holds its descendants, also below parents that are gone or never sampled', () => {
  const parents = new Map([[20, 10]])
  const target = new ProfilingTarget('none', pid => {
    const parentPid = parents.get(pid)
    return parentPid === undefined ? 'gone' : { parentPid, startBoottime: 0n, cpuNs: 0 }
  })
  const root = nativeProcess({ pid: 10 })
  const grandchild = nativeProcess({ pid: 30, parentPid: 20 })
  target.learn([grandchild])
  expect(target.includes(grandchild)).toBe(false)
  target.setRoot(10)
  target.learn([root, grandchild])
  parents.clear()
  const orphan = nativeProcess({ pid: 30, parentPid: 1 })
  target.learn([orphan, nativeProcess({ pid: 40, parentPid: 30 })])
  expect([10, 30, 40, 50].map(pid => target.includes(nativeProcess({ pid })))).toEqual([
    true,
    true,
    true,
    false,
  ])
})
