/** Gauges and counters against a recomputation by hand, in a real engine. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { selectAmounts } from '../storage/select/amounts.ts'
import { counter, cpu, gauge, hour, openValues, type Sent, usage, type ValuesStore } from './testing.ts'

let store: ValuesStore
beforeAll(async () => {
  store = await openValues()
}, 60_000)
afterAll(() => store?.close(), 60_000)
beforeEach(() => store.nextTenant())

describe('a counter', () => {
  const profiles: Sent[] = [
    { series: 1, at: 0, values: { 1: 100, 2: 10 } },
    { series: 1, at: 60, values: { 1: 130, 2: 10, 3: 5 } },
    { series: 1, at: 120, values: { 1: 150, 2: 40, 3: 5 } },
    // Restarted: less than before in all, though stack 3 has more.
    { series: 1, at: 180, values: { 1: 20, 3: 7 } },
    { series: 1, at: 240, values: { 1: 30, 3: 7 } },
  ]
  test.each([
    ['the first profile is only what the next one starts from', 0, 60, {}],
    ['the profile before the range is what it starts from', 60, 61, { 1: 30n, 3: 5n }],
    ['what lies between two profiles counts once', 0, 180, { 1: 50n, 2: 30n, 3: 5n }],
    ['after a restart values count from zero', 180, 181, { 1: 20n, 3: 7n }],
    ['all of it', 0, 300, { 1: 80n, 2: 30n, 3: 12n }],
    ['nothing in the range', 61, 120, {}],
  ])('%s', async (_, from, to, want) => {
    await store.send(counter, profiles)
    expect((await store.sums(counter, from, to)).weights).toEqual(want)
  })

  test('meta tells the covered time, the restarts and the re-timed', async () => {
    await store.send(counter, [...profiles, { series: 1, at: 300, values: { 1: 31, 3: 7 }, flags: 2 }])
    expect(await store.metaOf(counter, 0, 301)).toMatchObject({
      profiles: 6,
      coveredSeconds: 300,
      resets: 1,
      retimed: 1,
    })
    expect(await store.metaOf(counter, 60, 120)).toMatchObject({
      profiles: 1,
      coveredSeconds: 60,
      resets: 0,
      retimed: 0,
    })
  })

  test('a rate over time: the first profile has none, a restart has one', async () => {
    await store.send(counter, profiles)
    const [line] = await store.seriesOf(counter, 0, 300, 5)
    expect(line!.points.map(([, value]) => value)).toEqual([null, 35 / 60, 50 / 60, 27 / 60, 10 / 60])
  })

  test('a profile alone within an hour counts as it was sent, and has no rate', async () => {
    await store.send(counter, [
      { series: 1, at: 0, values: { 1: 5 } },
      { series: 2, at: 2 * hour, values: { 1: 7 } },
    ])
    expect((await store.sums(counter, 0, 3 * hour)).weights).toEqual({ 1: 12n })
    expect(await store.seriesOf(counter, 0, 3 * hour, 180)).toEqual([])
    await store.send(counter, [{ series: 1, at: 59 * 60, values: { 1: 6 } }])
    expect((await store.sums(counter, 0, 3 * hour)).weights).toEqual({ 1: 8n })
    expect((await store.sums(counter, 0, 60)).weights).toEqual({})
  })

  test('after an hour of silence a counter is begun anew', async () => {
    await store.send(
      counter,
      [0, 60, 60 + hour + 1, 120 + hour + 1].map((at, index) => ({
        series: 1,
        at,
        values: { 1: 10 + index },
      })),
    )
    expect((await store.sums(counter, 0, 3 * hour)).weights).toEqual({ 1: 2n })
  })

  test('a restart that the total hides: a stack that fell counts from zero', async () => {
    await store.send(counter, [
      { series: 1, at: 0, values: { 1: 100, 2: 10 } },
      { series: 1, at: 60, values: { 1: 50, 2: 100 } },
    ])
    expect((await store.sums(counter, 0, 61)).weights).toEqual({ 1: 50n, 2: 90n })
  })

  test('the same profile twice, and two of one second, are one', async () => {
    await store.send(counter, [
      { series: 1, at: 0, values: { 1: 10 } },
      { series: 1, at: 60.2, values: { 1: 20, 2: 1 } },
      { series: 1, at: 60.7, values: { 1: 25, 2: 1 } },
      { series: 1, at: 60.7, values: { 1: 25, 2: 1 } },
    ])
    expect((await store.sums(counter, 0, 61)).weights).toEqual({ 1: 15n, 2: 1n })
  })

  test('sums pass 2^63 without a loss', async () => {
    const most = 2n ** 63n - 1n
    await store.send(
      counter,
      [1, 2, 3].flatMap(series => [
        { series, at: 0, values: { 1: 1 } },
        { series, at: 60, values: { 1: most, 2: most } },
      ]),
    )
    expect((await store.sums(counter, 0, 61)).weights).toEqual({ 1: 3n * (most - 1n), 2: 3n * most })
  })
})

describe('a gauge', () => {
  test.each([
    ['a level holds until the next profile', 0, 120, { 1: 150 }],
    ['the level before the range reaches into it', 30, 90, { 1: 150 }],
    ['a level holds as long as the one before, when nothing follows', 60, 600, { 1: 200 }],
    ['cut at the end of the range', 0, 90, { 1: (100 * 60 + 200 * 30) / 90 }],
  ])('%s', async (_, from, to, want) => {
    await store.send(gauge, [
      { series: 1, at: 0, values: { 1: 100 } },
      { series: 1, at: 60, values: { 1: 200 } },
    ])
    expect(await store.means(gauge, from, to)).toEqual(want)
  })

  test('what nobody reported is not counted as zero', async () => {
    await store.send(
      gauge,
      [0, 60, 5 * hour, 5 * hour + 60].map(at => ({ series: 1, at, values: { 1: at < hour ? 100 : 300 } })),
    )
    expect(await store.means(gauge, 0, 6 * hour)).toEqual({ 1: 200 })
    expect(await store.metaOf(gauge, 0, 6 * hour)).toMatchObject({ profiles: 4, coveredSeconds: 240 })
  })

  test('instances that live at once add up, one after the other they do not', async () => {
    const life = (series: number, first: number, last: number): Sent[] =>
      Array.from({ length: (last - first) / 60 }, (_, index) => ({
        series,
        at: first + index * 60,
        values: { 1: 1000 },
      }))
    await store.send(gauge, [...life(1, 0, 3000), ...life(2, 0, 3000)], 50)
    expect(await store.means(gauge, 0, hour)).toEqual({ 1: 2000 })
    await store.send(
      gauge,
      [...life(3, 2 * hour, 2 * hour + 1800), ...life(4, 2 * hour + 1800, 3 * hour)],
      50,
    )
    expect(await store.means(gauge, 2 * hour, 3 * hour)).toEqual({ 1: 1000 })
  })

  test('over time: every step that the level reaches into has it', async () => {
    await store.send(
      gauge,
      [0, 60, 120].map(at => ({ series: 1, at, values: { 1: 100 + at } })),
    )
    const [line] = await store.seriesOf(gauge, 0, 240, 8)
    expect(line!.points.map(([, value]) => value)).toEqual([100, 100, 160, 160, 220, 220, null, null])
  })

  test('a fraction of one is kept', async () => {
    await store.send(gauge, [
      { series: 1, at: 0, values: { 1: 1 } },
      { series: 1, at: 30, values: {} },
      { series: 1, at: 120, values: {} },
    ])
    expect(await store.means(gauge, 0, 120)).toEqual({ 1: 0.25 })
  })
})

/** Profiles of one kind, random: resets, gaps, stacks that come later, several in one second, sent in any order. */
function randomProfiles(random: () => number, isCounter: boolean): Sent[] {
  const list: Sent[] = []
  for (let series = 1; series <= 4; series++) {
    const values: Record<string, number> = {}
    let at = Math.floor(random() * hour)
    while (at < 5 * hour) {
      const isRestart = isCounter && random() < 0.1
      if (isRestart)
        for (const key of Object.keys(values)) {
          values[key] = Math.floor(values[key]! * random() * 0.4)
          if (random() < 0.3) delete values[key]
        }
      for (let stack = 1; stack <= 6; stack++) {
        // What comes after a restart stays below what was before: the total shows it.
        if (isRestart || random() < 0.4) continue
        const key = `${stack}/${random() < 0.5 ? 0 : 7}`
        values[key] = isCounter
          ? (values[key] ?? 0) + Math.floor(random() * 1000)
          : 12 * Math.floor(random() * 1000)
      }
      list.push({ series, at, values: { ...values } })
      if (random() < 0.1) list.push({ series, at: at + 0.5, values: { ...values } })
      at += random() < 0.06 ? hour + 30 : 1 + Math.floor(random() * (random() < 0.1 ? 1500 : 200))
    }
  }
  return list
    .map(profile => ({ profile, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ profile }) => profile)
}

/** Sum of the samples of each stack. */
function byStack(values: Sent['values']): Map<string, number> {
  const stacks = new Map<string, number>()
  for (const [key, value] of Object.entries(values)) {
    const stack = key.split('/')[0]!
    stacks.set(stack, (stacks.get(stack) ?? 0) + Number(value))
  }
  return stacks
}
const inOrder = (list: Sent[], series: number) =>
  list.filter(each => each.series === series).sort((a, b) => a.at - b.at)

/** Prometheus' increase of each stack, profile by profile. */
function gainsOf(list: Sent[], from: number, to: number): Record<string, bigint> {
  const gains = new Map<string, number>()
  for (let series = 1; series <= 4; series++) {
    const seconds = new Map(inOrder(list, series).map(each => [Math.floor(each.at), byStack(each.values)]))
    const seen = [...seconds].sort(([a], [b]) => a - b)
    for (const [index, [at, stacks]] of seen.entries()) {
      if (at < from || at >= to) continue
      const before = seen[index - 1]
      const hasBefore = before !== undefined && at - before[0] <= hour
      const after = seen[index + 1]
      if (!hasBefore && after !== undefined && after[0] - at <= hour) continue
      const total = (of: Map<string, number>) => [...of.values()].reduce((sum, value) => sum + value, 0)
      const isReset = !hasBefore || total(stacks) < total(before[1])
      for (const [stack, value] of stacks) {
        const past = isReset ? 0 : (before![1].get(stack) ?? 0)
        gains.set(stack, (gains.get(stack) ?? 0) + (value >= past ? value - past : value))
      }
    }
  }
  return Object.fromEntries(
    [...gains].filter(([, gain]) => gain !== 0).map(([stack, gain]) => [stack, BigInt(gain)]),
  )
}

/** The level of every second, one after the other. */
function levelsOf(
  list: Sent[],
  from: number,
  to: number,
): { weights: Record<string, bigint>; divisor: number } {
  const weights = new Map<string, number>()
  const covered = new Set<number>()
  for (let series = 1; series <= 4; series++) {
    const bySecond = new Map<number, Sent[]>()
    for (const each of inOrder(list, series)) {
      const second = Math.floor(each.at)
      bySecond.set(second, [...(bySecond.get(second) ?? []), each])
    }
    const seconds = [...bySecond.keys()].sort((a, b) => a - b)
    for (const [index, second] of seconds.entries()) {
      const [before, after] = [seconds[index - 1], seconds[index + 1]]
      const hold =
        after !== undefined && after - second <= 600
          ? after - second
          : before !== undefined && second - before <= 600
            ? second - before
            : 60
      const sent = bySecond.get(second)!
      for (let now = Math.max(from, second); now < Math.min(to, second + hold); now++) {
        covered.add(now)
        for (const { values } of sent)
          for (const [stack, value] of byStack(values))
            weights.set(stack, (weights.get(stack) ?? 0) + value / sent.length)
      }
    }
  }
  return {
    weights: Object.fromEntries(
      [...weights].filter(([, weight]) => weight !== 0).map(([stack, weight]) => [stack, BigInt(weight)]),
    ),
    divisor: Math.max(1, covered.size),
  }
}

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const ranges = [
  [0, 5 * hour],
  [hour, 2 * hour],
  [4000, 4300],
  [2 * hour - 30, 3 * hour + 45],
] as const

describe.each([11, 12])('random profiles, seed %i', seed => {
  test('counters gain what Prometheus says', async () => {
    const list = randomProfiles(seeded(seed), true)
    await store.send(counter, list, 100)
    for (const [from, to] of ranges)
      expect((await store.sums(counter, from, to)).weights).toEqual(gainsOf(list, from, to))
    // Ranges that follow each other add up to the whole.
    const parts = await Promise.all(
      [0, 1, 2, 3, 4].map(part => store.sums(counter, part * hour, (part + 1) * hour)),
    )
    const added: Record<string, bigint> = {}
    for (const { weights } of parts)
      for (const [stack, weight] of Object.entries(weights)) added[stack] = (added[stack] ?? 0n) + weight
    expect(added).toEqual(gainsOf(list, 0, 5 * hour))
    // The line over time is of the same gains.
    const meta = await store.metaOf(counter, 0, 5 * hour)
    expect(meta.resets).toBeGreaterThan(3)
  })

  test('gauges have the level of every second', async () => {
    const list = randomProfiles(seeded(seed), false)
    await store.send(gauge, list, 100)
    for (const [from, to] of ranges)
      expect(await store.sums(gauge, from, to)).toEqual(levelsOf(list, from, to))
  })

  test('steps of every kind add up to the range', async () => {
    for (const [type, kind] of [
      [counter, 'cumulative'],
      [gauge, 'gauge'],
      [cpu, 'sum'],
    ] as const) {
      await store.send(type, randomProfiles(seeded(seed), kind === 'cumulative'), 100)
      const scope = store.scopeOf(type, 0, 5 * hour)
      const whole = await store.sums(type, 0, 5 * hour)
      const rows = await store.context.reader.rows<[string[], number, string, string]>(
        { ...selectAmounts(scope, kind, { isByStack: true, by: [], stepSeconds: 600 }) },
        usage(),
        undefined,
      )
      const added: Record<string, bigint> = {}
      for (const [, , stack, amount] of rows) added[stack] = (added[stack] ?? 0n) + BigInt(amount)
      expect(new Set(rows.map(([, step]) => step)).size).toBeGreaterThan(10)
      expect(added, kind).toEqual(whole.weights)
    }
  })
})
