import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type CallTree, extendPath, formatPath, hashFrame } from '@strobe/profile'
import { formatTree } from '@strobe/profile/testing'
import { expect, test } from 'vitest'
import { Pace } from './pace.ts'
import type { Group, TreeAnswer, TreeRequest, TreeWork } from './protocol.ts'
import { StackCache } from './stack-cache.ts'
import { createFakeStore, type FakeFrame, type FakeStack, type FakeStore, seededNumbers } from './testing.ts'
import { runTreeJob } from './tree-job.ts'

const wholeTree = { kind: 'flamegraph', nodes: 1_000_000, depth: 10_000, at: '' } as const
const allFunctions = { kind: 'functions', sort: 'self', limit: 1_000_000, search: '' } as const
const limits = { nodes: 1_000_000, frames: 10_000_000, timeoutMs: 60_000 }

async function run<Work extends TreeWork>(
  store: FakeStore,
  work: Work,
  options: Partial<TreeRequest> = {},
  cache = new StackCache(2 ** 24),
): Promise<TreeAnswer & { kind: Work['kind'] }> {
  let turn: Promise<unknown> = Promise.resolve()
  const request = {
    tenant: 'a',
    group: 'function',
    focus: '',
    hide: '',
    divisor: 1,
    limits,
    ...options,
    work,
  } as TreeRequest
  const answer = await runTreeJob(request, store.sums(typeof request.group === 'object'), {
    cache,
    load: store.load,
    pace: new Pace(request.limits.timeoutMs),
    exclusive(work) {
      const mine = turn.then(work)
      turn = mine.catch(() => {})
      return mine
    },
    becomeLarge: async () => {},
  })
  return answer as never
}

/** Stacks drawn by hand, `root;child;leaf 3`. */
function storeOf(text: string): FakeStore {
  const names: string[] = []
  const stacks = text
    .trim()
    .split('\n')
    .map((line): FakeStack => {
      const [path = '', value = '1', root = ''] = line.trim().split(' ')
      const frames = path.split(';').map(name => {
        if (!names.includes(name)) names.push(name)
        return names.indexOf(name)
      })
      return { frames: frames.reverse(), value: BigInt(value), root }
    })
  return createFakeStore(
    names.map(name => ({ name })),
    stacks,
  )
}

const treeText = async (text: string, options: Partial<TreeRequest> = {}, work: TreeWork = wholeTree) => {
  const answer = (await run(storeOf(text), work, options)) as TreeAnswer & { kind: 'flamegraph' }
  return `whole ${answer.whole}\n${formatTree(answer.tree)}`
}

const stacks = `
  main;run;parse;malloc 5
  main;run;parse;run;malloc 2
  main;idle 1
  start;malloc 4`

test.each<[string, Partial<TreeRequest>, Partial<TreeWork>, string]>([
  [
    'focus keeps whole stacks, one that matches twice once',
    { focus: '^run$' },
    {},
    'whole 12\nall 7 0\n  main 7 0\n    run 7 0\n      parse 7 0\n        malloc 5 5\n        run 2 0\n          malloc 2 2',
  ],
  [
    'hide gives the weight to the caller',
    { hide: 'malloc|run' },
    {},
    'whole 12\nall 12 0\n  main 8 0\n    parse 7 7\n    idle 1 1\n  start 4 4',
  ],
  [
    'what hide leaves empty stays in sight',
    { hide: 'malloc|start' },
    {},
    'whole 12\nall 12 0\n  main 8 0\n    run 7 0\n      parse 7 5\n        run 2 2\n    idle 1 1\n  [hidden] 4 4',
  ],
  ['focus looks at hidden frames too', { focus: 'idle', hide: 'idle' }, {}, 'whole 12\nall 1 0\n  main 1 1'],
  [
    'levels below depth are one node',
    {},
    { depth: 2 },
    'whole 12\nall 12 0\n  main 8 0\n    run 7 0\n      4 deeper frames 7 7\n    idle 1 1\n  start 4 0\n    malloc 4 4',
  ],
  [
    'at by names',
    {},
    { at: '["main","run","parse"]' },
    'whole 12\nparse 7 0\n  malloc 5 5\n  run 2 0\n    malloc 2 2',
  ],
  [
    'at the root',
    {},
    { at: '[]', depth: 1 },
    'whole 12\nall 12 0\n  main 8 0\n    6 deeper frames 8 8\n  start 4 0\n    1 deeper frame 4 4',
  ],
  [
    'a label stands above',
    { group: { label: 'zone' } },
    { depth: 2 },
    'whole 12\nall 12 0\n  [no zone] 12 0\n    main 8 0\n      6 deeper frames 8 8\n    start 4 0\n      1 deeper frame 4 4',
  ],
])('%s', async (_name, options, work, wanted) => {
  expect(await treeText(stacks, options, { ...wholeTree, ...work } as TreeWork)).toBe(wanted)
})

test.each([
  ['["main","walk"]', 'NOT_FOUND', /"walk" stands at depth 2/],
  ['["main","run","parse","malloc","more"]', 'NOT_FOUND', /"more" stands at depth 5/],
  ['{"a":1}', 'BAD_REQUEST', /neither/],
  ['["a",1]', 'BAD_REQUEST', /neither/],
  ['~', 'BAD_REQUEST', /neither/],
  ['~abc', 'NOT_FOUND', /not in this selection/],
])('at=%s is refused: %s', async (at, code, message) => {
  await expect(run(storeOf(stacks), { ...wholeTree, at })).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  })
})

interface RandomData {
  frames: FakeFrame[]
  stacks: FakeStack[]
}

function randomData(seed: number): RandomData {
  const random = seededNumbers(seed)
  const frames = Array.from({ length: 60 }, (_, index): FakeFrame => {
    if (index % 11 === 0) return { name: '', module: 'lib.so', address: BigInt(4096 + index) }
    const pack = ['net', 'db', 'io'][index % 3]!
    return {
      // Several lines of one function are several frames.
      name: `${pack}.f${index % 20}`,
      file: index % 4 === 0 ? '' : `src/${pack}/${index % 7}.go`,
      module: index % 5 === 0 ? 'app' : 'lib.so',
      line: 1 + (index % 3),
      kind: index % 13 === 0 ? 'kernel' : 'native',
    }
  })
  const roots = ['', 'a', 'b']
  return {
    frames,
    stacks: Array.from({ length: 300 }, () => ({
      frames: Array.from({ length: random(30) }, () => random(random(2) === 0 ? 60 : 6)),
      value: BigInt(random(1000)),
      root: roots[random(3)]!,
    })),
  }
}

/** name|file|module|kind of a frame under a grouping, worked out without the code under test. */
function nameOf(frame: FakeFrame, group: Group): string {
  const module = frame.module ?? ''
  const isNamed = frame.name !== ''
  const name = isNamed ? frame.name : `${module}+0x${frame.address!.toString(16)}`
  const file = isNamed ? (frame.file ?? '') : ''
  const kind = isNamed ? frame.kind! : 'unsymbolized'
  const groupKind = isNamed ? frame.kind! : 'native'
  switch (group) {
    case 'file':
      return file === '' ? `${module}||${module}|${groupKind}` : `${file}|${file}||${groupKind}`
    case 'module':
      return `${module}||${module}|${groupKind}`
    case 'package':
      return isNamed ? `${name.split('.')[0]}|||${groupKind}` : `lib|||${groupKind}`
    case 'line':
      return `${name}${file === '' ? '' : ` ${file.split('/').at(-1)}:${frame.line}`}|${file}|${module}|${kind}`
    default:
      return `${name}|${file}|${module}|${kind}`
  }
}

interface Naive {
  paths: Map<string, { self: number; total: number }>
  functions: Map<string, { self: number; total: number }>
  total: number
}

function naive(
  { frames, stacks: given }: RandomData,
  group: Group,
  focus: RegExp | null,
  hide: RegExp | null,
): Naive {
  const paths = new Map<string, { self: number; total: number }>()
  const functions = new Map<string, { self: number; total: number }>()
  const add = (to: typeof paths, key: string, self: number, total: number) => {
    const known = to.get(key) ?? { self: 0, total: 0 }
    to.set(key, { self: known.self + self, total: known.total + total })
  }
  let total = 0
  for (const stack of given) {
    const value = Number(stack.value)
    const rootFirst = [...stack.frames].reverse().map(index => frames[index]!)
    const plain = (frame: FakeFrame) => nameOf(frame, 'function').split('|')[0]!
    if (focus && !rootFirst.some(frame => focus.test(plain(frame)))) continue
    let names = rootFirst.filter(frame => !hide?.test(plain(frame))).map(frame => nameOf(frame, group))
    if (['file', 'module', 'package'].includes(group as string))
      names = names.filter((name, at) => name !== names[at - 1])
    if (names.length === 0) names = [rootFirst.length === 0 ? '[no stack]|||none' : '[hidden]|||none']
    if (typeof group === 'object') names.unshift(`${stack.root === '' ? '[no zone]' : stack.root}|||none`)
    total += value
    for (let depth = 1; depth <= names.length; depth++)
      add(paths, names.slice(0, depth).join(' > '), depth === names.length ? value : 0, value)
    const counted = typeof group === 'object' ? names.slice(0, 1) : names
    for (const name of new Set(counted)) add(functions, name, name === counted.at(-1) ? value : 0, value)
  }
  return { paths, functions, total }
}

function pathsOf(tree: CallTree): Naive['paths'] {
  const texts: string[] = ['']
  const paths: Naive['paths'] = new Map()
  for (let node = 1; node < tree.parent.length; node++) {
    const { name, file, module, kind } = tree.frames[tree.frame[node]!]!
    const above = texts[tree.parent[node]!]!
    const text = `${above === '' ? '' : `${above} > `}${name}|${file}|${module}|${kind}`
    texts[node] = text
    expect(paths.has(text)).toBe(false)
    paths.set(text, { self: tree.self[node]!, total: tree.total[node]! })
  }
  return paths
}

const views: [Group, RegExp | null, RegExp | null][] = [
  ['function', null, null],
  ['function', /f1/, null],
  ['function', null, /^net\./],
  ['function', /\.so|f3$/, /f[0-9]$/],
  ['file', null, null],
  ['file', /db/, /io/],
  ['line', null, /f7/],
  ['module', null, null],
  ['package', /f5/, null],
  [{ label: 'zone' }, null, null],
  [{ label: 'zone' }, /f1/, /net/],
]

test.each(views)('group %o, focus %o, hide %o: as worked out stack by stack', async (group, focus, hide) => {
  for (const seed of [1, 2, 3]) {
    const data = randomData(seed)
    const store = createFakeStore(data.frames, data.stacks)
    const options = { group, focus: focus?.source ?? '', hide: hide?.source ?? '' }
    const wanted = naive(data, group, focus, hide)
    const sum = data.stacks.reduce((all, stack) => all + Number(stack.value), 0)

    // Without a cache, with one that is too small, and twice with room for all.
    const roomy = new StackCache(2 ** 24)
    for (const cache of [new StackCache(0), new StackCache(2 ** 16), roomy, roomy]) {
      const { tree, total, whole } = await run(store, wholeTree, options, cache)
      expect(pathsOf(tree)).toEqual(wanted.paths)
      expect({ total, whole }).toEqual({ total: wanted.total, whole: sum })
      expect(tree.total[0]).toBe(wanted.total)
    }
    const { functions, omitted } = await run(store, allFunctions, options, roomy)
    const nonZero = [...wanted.functions].filter(([, { total }]) => total > 0)
    expect(
      new Map(
        functions.map(({ frame, self, total }) => [
          `${frame.name}|${frame.file}|${frame.module}|${frame.kind}`,
          { self, total },
        ]),
      ),
    ).toEqual(new Map(nonZero))
    expect(omitted).toEqual({ functions: 0, self: 0 })
  }
})

test('pruned trees add up at every node, and do not depend on what came first', async () => {
  const data = randomData(9)
  const backwards = { ...data, stacks: [...data.stacks].reverse() }
  for (const nodes of [2, 3, 10, 100, 500, 5000]) {
    const work = { ...wholeTree, nodes, depth: 12 }
    const { tree, omitted, total } = await run(createFakeStore(data.frames, data.stacks), work)
    const other = await run(createFakeStore(backwards.frames, backwards.stacks), work)
    expect(formatTree(other.tree)).toBe(formatTree(tree))
    expect(tree.parent.length).toBeLessThanOrEqual(nodes)
    const sums = Float64Array.from(tree.self)
    let hiddenNodes = 0
    let hiddenWeight = 0
    for (let node = 1; node < tree.parent.length; node++) {
      sums[tree.parent[node]!]! += tree.total[node]!
      const { kind, name } = tree.frames[tree.frame[node]!]!
      if (kind !== 'omitted') continue
      hiddenNodes += Number.parseInt(name, 10)
      hiddenWeight += tree.total[node]!
    }
    expect(sums).toEqual(tree.total)
    expect(tree.total[0]).toBe(total)
    expect(omitted).toEqual({ nodes: hiddenNodes, weight: hiddenWeight })
  }
})

test('every drawn node opens by its names and by its path hash, pruned by itself', async () => {
  const data = randomData(4)
  const store = createFakeStore(data.frames, data.stacks)
  const { tree } = await run(store, { ...wholeTree, nodes: 60 })
  const whole = await run(store, wholeTree)
  const wanted = pathsOf(whole.tree)
  const names: string[][] = [[]]
  const hashes = [0]
  const keys = ['']
  for (let node = 1; node < tree.parent.length; node++) {
    const frame = tree.frames[tree.frame[node]!]!
    const above = tree.parent[node]!
    names[node] = [...names[above]!, frame.name]
    hashes[node] = extendPath(hashes[above]!, hashFrame(frame))
    keys[node] =
      `${keys[above] === '' ? '' : `${keys[above]} > `}${frame.name}|${frame.file}|${frame.module}|${frame.kind}`
    if (frame.kind === 'omitted') continue
    const opened = await run(store, { ...wholeTree, nodes: 20, at: formatPath(hashes[node]!) })
    expect({ self: opened.tree.self[0], total: opened.tree.total[0] }).toEqual(wanted.get(keys[node]!))
    expect(opened.tree.frames[opened.tree.frame[0]!]).toEqual(frame)
    const byNames = await run(store, { ...wholeTree, nodes: 20, at: JSON.stringify(names[node]) })
    expect(byNames.tree.total[0]).toBeGreaterThanOrEqual(opened.tree.total[0]!)
  }
})

test('a search and a limit leave the rest as omitted', async () => {
  const work = { ...allFunctions, search: 'R', limit: 2, sort: 'total' } as const
  const { functions, omitted, total } = await run(storeOf(stacks), work)
  // With an r in the name: run 7 0, parse 7 0, start 4 0.
  expect(functions.map(({ frame, self, total }) => [frame.name, self, total])).toEqual([
    ['parse', 0, 7],
    ['run', 0, 7],
  ])
  expect({ omitted, total }).toEqual({ omitted: { functions: 1, self: 0 }, total: 12 })
})

test('a stack that the store has lost keeps its weight', async () => {
  const data = randomData(5)
  const { tree, total } = await run(createFakeStore(data.frames, data.stacks, new Set([3, 8])), wholeTree)
  const lost = Number(data.stacks[3]!.value + data.stacks[8]!.value)
  expect(pathsOf(tree).get('[stack not stored]|||none')).toEqual({ self: lost, total: lost })
  expect(total).toBe(data.stacks.reduce((sum, { value }) => sum + Number(value), 0))
})

test('what is cached is not asked for again', async () => {
  const data = randomData(6)
  const store = createFakeStore(data.frames, data.stacks)
  const cache = new StackCache(2 ** 24)
  await run(store, wholeTree, {}, cache)
  const { stacks: first } = store.asked
  expect(first).toBe(300)
  await run(store, allFunctions, { group: 'file' }, cache)
  expect(store.asked.stacks).toBe(first)
  await run(store, wholeTree, { tenant: 'b' }, cache)
  expect(store.asked.stacks).toBe(2 * first)
})

test('weights beyond 64 bits are read with their sign', async () => {
  const store = createFakeStore(
    [{ name: 'f' }],
    [
      { frames: [0], value: 2n ** 64n },
      { frames: [0, 0], value: -3n },
    ],
  )
  const { tree } = await run(store, wholeTree)
  expect(Array.from(tree.total)).toEqual([2 ** 64 - 3, 2 ** 64 - 3, -3])
})

test.each<[string, Partial<TreeRequest>, RegExp]>([
  ['nodes', { limits: { ...limits, nodes: 5 } }, /more than 5 nodes.*STROBE_QUERY_NODES/],
  ['frames', { limits: { ...limits, frames: 10 } }, /more than 10 frames \(STROBE_QUERY_FRAMES/],
])('more %s than a query may have is refused', async (_name, options, message) => {
  await expect(run(storeOf(stacks), wholeTree, options)).rejects.toMatchObject({
    code: 'QUERY_TOO_LARGE',
    message: expect.stringMatching(message),
  })
})

test('a broken answer of the store is refused', async () => {
  const store = storeOf(stacks)
  const broken = { ...store, sums: () => store.sums().subarray(0, 25) }
  await expect(run(broken, wholeTree)).rejects.toThrow(/whole rows of 24/)
})

test('a long query does not keep what the cache lets go', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const frames = Array.from({ length: 500 }, (_, index) => ({ name: `function_${index}` }))
  const many = Array.from({ length: 20_000 }, (_, index) => ({
    frames: Array.from({ length: 300 }, (_, at) => (at === 0 ? index % 500 : at)),
    value: 1n,
  }))
  const store = createFakeStore(frames, many)
  const sums = store.sums()
  collect()
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const watched: FakeStore = {
    ...store,
    sums: () => sums,
    async load(kind, ids) {
      const answer = await store.load(kind, ids)
      collect()
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      return answer
    },
  }
  // All that the cache drops is over 60 MB; a batch of the store is in hand twice, with 8 MB at most.
  const { total } = await run(watched, allFunctions, {}, new StackCache(2 ** 20))
  expect(total).toBe(20_000)
  expect(most).toBeGreaterThan(2 ** 20)
  expect(most).toBeLessThan(45 * 2 ** 20)
})
