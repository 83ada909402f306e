import { expect, test } from 'vitest'
import { buildCallTree, functionTotals, pruneCallTree } from './call-tree.ts'
import { dedent, formatFunctions, formatTree, stacksFromColumns } from './testing.ts'

function treeOf(text: string) {
  const stacks = stacksFromColumns(text)
  return buildCallTree(stacks, stacks.values, stacks.frames)
}

function expectTree(text: string) {
  return { toBe: (wanted: string) => expect(formatTree(treeOf(text))).toBe(dedent(wanted)) }
}

function expectFunctions(text: string) {
  const stacks = stacksFromColumns(text)
  return expect(formatFunctions(functionTotals(stacks, stacks.values, stacks.frames)))
}

test('equal paths become one node, siblings by total', () => {
  expectTree(`
    1     2     4     1
    main  main  main  idle
    run   run   stop  .
    a     b     .     .`).toBe(`
    all 8 0
      main 7 0
        stop 4 4
        run 3 0
          b 2 2
          a 1 1
      idle 1 1`)
})

test('an empty stack keeps its value under one frame', () => {
  expectTree(`
    3     2  1
    main  .  .`).toBe(`
    all 6 0
      [no stack] 3 3
      main 3 3`)
  expectFunctions(`
    3     2
    main  .`).toBe('main total 3 self 3, [no stack] total 2 self 2')
})

test('equal siblings come by name, two modules stay apart', () => {
  expectTree(`
    1       1       1
    read@b  read@a  open@c`).toBe(`
    all 3 0
      open@c 1 1
      read@a 1 1
      read@b 1 1`)
})

test('a recursive function counts once in its total', () => {
  expectFunctions(`
    main  main
    fib   fib
    fib   print`).toBe('fib total 2 self 1, print total 1 self 1, main total 2 self 0')
  expectFunctions(`
    5
    a
    b
    a
    b`).toBe('b total 5 self 5, a total 5 self 0')
})

test('a frame listed twice is one frame', () => {
  const frame = { name: 'f', file: '', module: '', kind: 'native' } as const
  const stacks = { stackOffset: [0, 1, 3], stackFrame: [0, 1, 0] }
  expect(formatTree(buildCallTree(stacks, [1, 2], [frame, { ...frame }]))).toBe('all 3 0\n  f 3 1\n    f 2 2')
  expect(formatFunctions(functionTotals(stacks, [1, 2], [frame, { ...frame }]))).toBe('f total 3 self 3')
})

test('no stacks: a root alone', () => {
  expect(formatTree(buildCallTree({ stackOffset: [0], stackFrame: [] }, [], []))).toBe('all 0 0')
})

test('stacks and values must agree', () => {
  expect(() => buildCallTree({ stackOffset: [0, 0], stackFrame: [] }, [], [])).toThrow(
    '1 stacks and 0 values',
  )
})

test('a difference has negative values', () => {
  expectTree(`
    -3    2
    main  main
    a     b`).toBe(`
    all -1 0
      main -1 0
        b 2 2
        a -3 -3`)
})

const wide = `
  10    5     3     2    1     1
  main  main  main  main main  idle
  a     b     c     c    d     .
  .     .     x     y    .     .`

test('pruning folds what is small below each parent', () => {
  // By total: all 22, main 21, a 10, then b 5 before c 5, by name; two nodes stand for what is left out.
  const { tree, omitted } = pruneCallTree(treeOf(wide), 6)
  expect(formatTree(tree)).toBe(
    dedent(`
    all 22 0
      main 21 0
        a 10 10
        b 5 5
        4 smaller frames 6 6
      1 smaller frame 1 1`),
  )
  expect(omitted).toEqual({ nodes: 5, weight: 7 })
})

test('pruning by share', () => {
  const { tree, omitted } = pruneCallTree(treeOf(wide), 1000, 0.1)
  expect(formatTree(tree)).toBe(
    dedent(`
    all 22 0
      main 21 0
        a 10 10
        b 5 5
        c 5 0
          x 3 3
          1 smaller frame 2 2
        1 smaller frame 1 1
      1 smaller frame 1 1`),
  )
  expect(omitted).toEqual({ nodes: 3, weight: 4 })
  expect(tree.frames.filter(frame => frame.kind === 'omitted')).toHaveLength(1)
  expect(tree.frames.map(frame => frame.name)).not.toContain('idle')
})

test('a tree within bounds comes back as it is', () => {
  const tree = treeOf(wide)
  expect(pruneCallTree(tree, 1000).tree).toBe(tree)
})

test('children and self add up to their parent in a large pruned tree', () => {
  let state = 7
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  const frames = Array.from({ length: 50 }, (_, i) => ({
    name: `f${i}`,
    file: '',
    module: '',
    kind: 'native' as const,
  }))
  const stackOffset = [0]
  const stackFrame: number[] = []
  const values: number[] = []
  for (let i = 0; i < 5000; i++) {
    for (let depth = random(40); depth > 0; depth--) stackFrame.push(random(50))
    stackOffset.push(stackFrame.length)
    values.push(random(100))
  }
  const whole = buildCallTree({ stackOffset, stackFrame }, values, frames)
  const { tree, omitted } = pruneCallTree(whole, 500)
  expect(tree.parent.length).toBeLessThanOrEqual(500)
  const kept = tree.parent.length - tree.frames.filter(frame => frame.kind === 'omitted').length
  expect(kept).toBeGreaterThan(250)
  expect(omitted.nodes).toBeGreaterThanOrEqual(whole.parent.length - kept)
  for (const each of [whole, tree]) {
    const sums = Float64Array.from(each.self)
    for (let node = 1; node < each.parent.length; node++) {
      expect(each.parent[node]).toBeLessThan(node)
      sums[each.parent[node]!]! += each.total[node]!
    }
    expect(sums).toEqual(each.total)
    expect(each.total[0]).toBe(values.reduce((a, b) => a + b))
  }
})
