import { expect, test } from 'vitest'
import { treeFromText } from './testing.ts'
import {
  buildDrawTree,
  type DrawNode,
  drawBase,
  drawnLevels,
  findPath,
  frameOf,
  isDrawn,
  maxDrawnDepth,
  neighbour,
  pathHash,
  readTree,
  shortName,
} from './tree.ts'

const tree = treeFromText(`
  main 1
    parse 2
      read 4
    serve 3
      read 40
      write 50`)
// 0 all, 1 main, 2 parse, 3 read, 4 serve, 5 read, 6 write

test('a path hash finds its node again, also when siblings change places', () => {
  for (let node = 0; node < tree.frame.length; node++) expect(findPath(tree, pathHash(tree, node))).toBe(node)
  const later = treeFromText(`
    main 1
      serve 3
        write 60
        read 5
      parse 2`)
  expect(frameOf(later, findPath(later, pathHash(tree, 5))).name).toBe('read')
  expect(findPath(later, pathHash(tree, 5))).toBe(4)
  expect(findPath(later, pathHash(tree, 3))).toBe(-1)
})

function drawText(node: DrawNode): string {
  const mark = node.hide ? '-' : node.fade ? '~' : ''
  const inner = node.c.length === 0 ? '' : `(${node.c.map(drawText).join(' ')})`
  return `${mark}${node.n}=${node.v}${inner}`
}

test('a zoomed tree is drawn with its siblings hidden and its callers faded', () => {
  expect(drawText(buildDrawTree(tree, 0, 0))).toBe(
    'all=100(main=100(parse=6(read=4) serve=93(read=40 write=50)))',
  )
  expect(drawText(buildDrawTree(tree, 0, 6))).toBe(
    '~all=100(~main=100(-parse=6(read=4) ~serve=93(-read=40 write=50)))',
  )
})

test('levels beyond the limit fold into one frame that holds their weight', () => {
  const depth = maxDrawnDepth + 10
  const lines = Array.from({ length: depth }, (_, level) => `${'  '.repeat(level)}f${level} 1`)
  const deep = treeFromText(lines.join('\n'))
  let last = buildDrawTree(deep, 0, 0)
  let levels = 0
  while (last.c[0]) {
    last = last.c[0]
    levels++
  }
  expect(levels).toBe(maxDrawnDepth + 1)
  expect(last).toMatchObject({ n: '10 deeper, open here', v: 10, folded: 10, node: maxDrawnDepth })
  expect(drawBase(deep, maxDrawnDepth - 1)).toBe(0)
  expect(drawBase(deep, maxDrawnDepth)).toBe(maxDrawnDepth)
  expect(buildDrawTree(deep, maxDrawnDepth, maxDrawnDepth)).toMatchObject({ node: maxDrawnDepth, v: 11 })
})

test('levels drawn follow the zoom and the width', () => {
  expect(drawnLevels(tree, 0, 0, 1000, 0.5)).toBe(4)
  // 0.5 of 5 px is a tenth: parse and its read are too narrow, read and write of serve are not.
  expect(drawnLevels(treeFromText('main 99\n  leaf 1'), 0, 0, 5, 0.5)).toBe(2)
  expect(isDrawn(tree, 4, 2, 1000)).toBe(false)
  expect(isDrawn(tree, 4, 1, 1000)).toBe(true)
})

test('arrows walk callers, callees and neighbours of a level', () => {
  const all = () => true
  expect(neighbour(tree, 3, 'caller', all)).toBe(2)
  expect(neighbour(tree, 0, 'caller', all)).toBe(0)
  expect(neighbour(tree, 4, 'callee', all)).toBe(5)
  expect(neighbour(tree, 6, 'callee', all)).toBe(6)
  expect(neighbour(tree, 3, 'right', all)).toBe(5)
  expect(neighbour(tree, 5, 'left', all)).toBe(3)
  expect(neighbour(tree, 5, 'left', node => node !== 3)).toBe(5)
})

test.each([
  ['net/http.(*conn).serve', 'http.(*conn).serve'],
  ['github.com/google/btree.(*node[a/b.T]).iterate', 'btree.(*node[a/b.T]).iterate'],
  ['std::map<a/b>::find', 'std::map<a/b>::find'],
  ['libc.so.6+0x10', 'libc.so.6+0x10'],
  ['LazyCompile:*fib /usr/src/app/main.js:1', 'LazyCompile:*fib /usr/src/app/main.js:1'],
  ['operator/', 'operator/'],
])('%s is written %s', (name, expected) => expect(shortName(name)).toBe(expected))

test('a tree that is not depth first is refused', () => {
  const answer = {
    unit: 'count',
    total: 1,
    names: ['all'],
    files: [''],
    modules: [''],
    kinds: ['none' as const],
    nodes: { name: [0, 0], parent: [-1, 1], self: [0, 1], total: [1, 1] },
    omitted: { nodes: 0, weight: 0 },
  }
  expect(() => readTree(answer as never)).toThrow(/TREE_MALFORMED: node 1/)
})
