import { describe, expect, test } from 'vitest'
import { stacksFromColumns } from '../testing.ts'
import { buildDiffTree, changeScale, type DiffTree, findCause, isWithinNoise } from './diff-tree.ts'

const format = ({ tree, totalA, totalB, selfA, selfB }: DiffTree): string[] => {
  const depth: number[] = []
  return Array.from(tree.parent, (parent, node) => {
    depth[node] = parent < 0 ? 0 : depth[parent]! + 1
    const name = tree.frames[tree.frame[node]!]?.name ?? 'all'
    const sides = `A ${totalA[node]}/${selfA[node]} B ${totalB[node]}/${selfB[node]}`
    return `${'  '.repeat(depth[node]!)}${name} ${tree.total[node]} ${sides}`
  })
}

test('widths are means, and each side keeps its own weights', () => {
  const a = stacksFromColumns(`
    4     2
    main  main
    old   both`)
  const b = stacksFromColumns(`
    6     8
    main  main
    both  new`)
  expect(format(buildDiffTree(a, b, 1, 1, 100))).toEqual([
    'all 10 A 6/0 B 14/0',
    '  main 10 A 6/0 B 14/0',
    '    both 4 A 2/2 B 6/6',
    '    new 4 A 0/0 B 8/8',
    '    old 2 A 4/4 B 0/0',
  ])
})

test('shares: scales divide out how much was sampled', () => {
  const a = stacksFromColumns(`
    10
    main`)
  const b = stacksFromColumns(`
    1000
    main`)
  expect(format(buildDiffTree(a, b, 1 / 10, 1 / 1000, 100))).toEqual([
    'all 1 A 1/0 B 1/0',
    '  main 1 A 1/1 B 1/1',
  ])
})

test('what is left out weighs on both sides, and samples without a stack have their place', () => {
  const a = stacksFromColumns(`
    8     1      2      1
    main  main   main   .
    hot   cold1  cold2  .
    .     deep   .      .`)
  const b = stacksFromColumns(`
    8     1      4
    main  main   main
    hot   cold3  cold2`)
  const pruned = buildDiffTree(a, b, 1, 1, 5)
  expect(format(pruned)).toEqual([
    'all 12.5 A 12/0 B 13/0',
    '  main 12 A 11/0 B 13/0',
    '    hot 8 A 8/8 B 8/8',
    '    4 smaller frames 4 A 3/3 B 5/5',
    '  1 smaller frame 0.5 A 1/1 B 0/0',
  ])
})

test('one frame that changed a lot does not pale the others', () => {
  const a = new Array<number>(201).fill(0)
  const b = a.map((_, node) => (node === 7 ? 1000 : node % 2))
  expect(changeScale(a, b)).toBe(1)
})

describe('the cause', () => {
  const cause = (before: string, after: string) => {
    const found = findCause(buildDiffTree(stacksFromColumns(before), stacksFromColumns(after), 1, 1, 100))
    return found && `${found.path.map(({ name }) => name).join(' ')} ${found.change}`
  }
  const before = `
    10     10     10
    main   main   main
    serve  serve  gc
    parse  price  .
    .      fmt    .`

  test.each([
    ['is the deepest frame with most of the change', '10 30 10', 'main serve price fmt 20'],
    ['is above frames that share it', '20 20 10', 'main serve 20'],
    ['is the root when all grew', '20 20 20', 'main 30'],
    ['is found for what shrank', '10 2 10', 'main serve price fmt -8'],
    ['is missing where nothing changed', '10 10 10', null],
  ])('%s', (_, values, expected) => {
    expect(cause(before, before.replace('10     10     10', values))).toBe(expected)
  })
})

test.each([
  ['a small change of a middling share', 0.3, 0.31, true],
  ['a large one', 0.3, 0.4, false],
  ['the same change of a small share', 0.001, 0.02, false],
  ['nothing', 0, 0, true],
])('within noise: %s', (_, a, b, expected) => {
  // 0.1 x sqrt(0.3 x 0.7) is 0.046.
  expect(isWithinNoise(a, b, 1, 0.1)).toBe(expected)
})
