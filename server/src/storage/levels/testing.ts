/** A small store full of rare cases, and the same in memory to count again: for tests of levels and of what reads them. */
import { groupId, type Label, seriesId } from '@strobe/profile'
import type { StoreClient } from '../client.ts'

export const cpuType = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
export const heapType = 'memory:inuse_space:bytes:space:bytes'
export const services = ['api', 'web'] as const

export interface KnownProfile {
  service: string
  type: string
  labels: Record<string, string>
  /** Unix ms. */
  timeMs: number
  samples: { stack: string; value: bigint }[]
}

export interface KnownStore {
  profiles: KnownProfile[]
  /** Writes what samples point at. */
  writeDimensions(client: StoreClient): Promise<void>
  /** From now on groups are made by other labels: writes each series with its new group. seenMs: unix ms. */
  regroup(client: StoreClient, allowed: readonly string[], seenMs: number): Promise<void>
  /** Draws profiles that start in the range, unix ms, and writes them as one insert; known once it is durable. */
  write(client: StoreClient, count: number, fromMs: number, toMs: number): Promise<void>
  /** Sum per stack, decimal ids; stacks that sum to nothing are left out. */
  stackSums(isWanted: (profile: KnownProfile) => boolean): Record<string, bigint>
  /** Self and total per function as functionTotals shows it: `name file module kind`. */
  functionSums(isWanted: (profile: KnownProfile) => boolean): Record<string, [self: bigint, total: bigint]>
}

interface KnownFrame {
  id: bigint
  functionId: bigint
  module: string
  address: bigint
  buildId: string
  kind: string
  isStored: boolean
  shown: string
}

function listOf(labels: Record<string, string>): Label[] {
  return Object.entries(labels).map(([name, value]) => ({ name, value }))
}

/** random: in [0, 1), seeded. */
export function makeKnownStore(random: () => number): KnownStore {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const functions = [
    // The same name, file and module twice: one function on the screen, two ids.
    { id: 101n, name: 'run', system: '_run', file: 'a.c', line: 1, module: 'app' },
    { id: 102n, name: 'run', system: '_run', file: 'a.c', line: 90, module: 'app' },
    { id: 103n, name: '', system: 'run', file: 'a.c', line: 7, module: 'app' },
    { id: 104n, name: 'fib', system: 'fib', file: 'a.c', line: 1, module: 'app' },
    { id: 105n, name: 'fib', system: 'fib', file: 'b.c', line: 1, module: '' },
    { id: 106n, name: 'wait', system: 'wait', file: '', line: 0, module: 'libc' },
  ]
  const lost = '[stack not stored]   none'
  const frames: KnownFrame[] = []
  for (let at = 0; at < 24; at++) {
    const info = functions[at % functions.length]!
    const kind = at === 11 ? 'jit' : at === 17 ? 'kernel' : 'native'
    const isStored = at !== 20
    const module = info.module || (at < 12 ? 'app' : 'lib')
    const name = info.name || info.system
    frames.push({
      id: 1000n + BigInt(at),
      functionId: info.id,
      module: at < 12 ? 'app' : 'lib',
      address: 0n,
      buildId: `build ${at % 3}`,
      kind,
      isStored,
      shown: isStored ? `${name} ${info.file} ${module} ${kind}` : lost,
    })
  }
  for (const [address, buildId] of [
    [16n, 'x'],
    [16n, 'y'],
    [255n, 'x'],
  ] as const)
    frames.push({
      id: BigInt(1100 + frames.length),
      functionId: 0n,
      module: 'bin',
      address,
      buildId,
      kind: 'unsymbolized',
      isStored: true,
      shown: `bin+0x${address.toString(16)}  bin unsymbolized`,
    })
  // Ids past 2^53, as hashes are.
  const stacks = Array.from({ length: 30 }, (_, at) => ({
    id: at === 0 ? 0n : 18_000_000_000_000_000_000n + BigInt(at),
    frames: Array.from({ length: at === 0 ? 0 : 1 + Math.floor(random() * 8) }, () => pick(frames)),
    isStored: at !== 7,
  }))
  const stackOf = new Map(stacks.map(stack => [String(stack.id), stack]))
  const series = services.flatMap(service =>
    ['v1', 'v2'].flatMap(version =>
      ['p0', 'p1', 'p2'].flatMap(pod =>
        [cpuType, heapType].map(type => {
          const labels = { service_name: service, service_version: version, k8s_pod_name: pod }
          const list = listOf(labels)
          return { service, type, labels, seriesId: seriesId(list, type), groupId: groupId(list) }
        }),
      ),
    ),
  )
  const profiles: KnownProfile[] = []
  const writeSeries = (client: StoreClient, lastSeen: number) =>
    client.insert({
      table: 'series',
      values: series.map(({ service, type, labels, ...ids }) => ({
        tenant: 'default',
        service,
        type,
        labels,
        series_id: String(ids.seriesId),
        group_id: String(ids.groupId),
        first_seen: 1,
        last_seen: lastSeen,
      })),
      format: 'JSONEachRow',
    })

  return {
    profiles,
    async writeDimensions(client) {
      const insert = (table: string, values: object[]) =>
        client.insert({ table, values, format: 'JSONEachRow' })
      const tenant = 'default'
      await insert(
        'functions',
        functions.map(({ id, name, system, file, line, module }) => ({
          tenant,
          function_id: String(id),
          name,
          system_name: system,
          file,
          start_line: line,
          module,
        })),
      )
      await insert(
        'frames',
        frames.flatMap(({ id, functionId, module, address, buildId, kind, isStored }) =>
          isStored
            ? [
                {
                  tenant,
                  frame_id: String(id),
                  function_id: String(functionId),
                  module,
                  build_id: buildId,
                  address: String(address),
                  kind,
                },
              ]
            : [],
        ),
      )
      for (const service of services)
        await insert(
          'stacks',
          stacks.flatMap(({ id, frames: of, isStored }) =>
            isStored
              ? [{ tenant, service, stack_id: String(id), frames: of.map(frame => String(frame.id)) }]
              : [],
          ),
        )
      await writeSeries(client, 2)
    },
    async regroup(client, allowed, seenMs) {
      for (const of of series) of.groupId = groupId(listOf(of.labels), allowed)
      await writeSeries(client, Math.floor(seenMs / 1000))
    },
    async write(client, count, fromMs, toMs) {
      const drawn = Array.from({ length: count }, () => {
        const of = pick(series)
        const timeMs = Math.floor(fromMs + random() * (toMs - fromMs))
        const samples = Array.from({ length: Math.floor(random() * 6) }, () => ({
          stack: String(pick(stacks).id),
          // Sums past 2^63, where Int64 would wrap.
          value: random() < 0.1 ? 2n ** 62n : BigInt(1 + Math.floor(random() * 1e6)),
        }))
        return { of, profile: { service: of.service, type: of.type, labels: of.labels, timeMs, samples } }
      })
      await client.insert({
        table: 'ingest',
        values: drawn.map(({ of, profile: { samples, timeMs, service, type } }) => ({
          tenant: 'default',
          service,
          type,
          time: (timeMs / 1000).toFixed(3),
          series_id: String(of.seriesId),
          group_id: String(of.groupId),
          batch_id: 'known-batch-0000',
          duration_ns: '10000000000',
          period: '1',
          expected: '7',
          lost: '1',
          received_at: (timeMs / 1000).toFixed(3),
          retention: 0,
          stack_ids: samples.map(({ stack }) => stack),
          labelset_ids: samples.map(() => '0'),
          vals: samples.map(({ value }) => String(value)),
        })),
        format: 'JSONEachRow',
      })
      profiles.push(...drawn.map(({ profile }) => profile))
    },
    stackSums(isWanted) {
      const sums: Record<string, bigint> = {}
      for (const { samples } of profiles.filter(isWanted))
        for (const { stack, value } of samples) sums[stack] = (sums[stack] ?? 0n) + value
      return sums
    },
    functionSums(isWanted) {
      const sums: Record<string, [bigint, bigint]> = {}
      for (const [id, value] of Object.entries(this.stackSums(isWanted))) {
        const stack = stackOf.get(id)!
        const shown = stack.isStored ? stack.frames.map(frame => frame.shown) : [lost]
        if (shown.length === 0) shown.push('[no stack]   none')
        for (const name of new Set(shown)) {
          const [self, total] = sums[name] ?? [0n, 0n]
          sums[name] = [self + (name === shown[0] ? value : 0n), total + value]
        }
      }
      return sums
    },
  }
}
