import { expect, test } from 'vitest'
import type { DiffAnswer } from '../api/types.ts'
import { differenceFill, readDiffTree } from './diff-tree.ts'

const answer = {
  unit: 'nanoseconds',
  normalize: 'share',
  noise: 0.3,
  tree: {
    names: ['all', 'kept', 'fresh', 'old', '3 smaller frames'],
    files: ['', '', '', '', ''],
    modules: ['', 'app', 'app', 'app', ''],
    kinds: ['none', 'native', 'native', 'native', 'omitted'],
    nodes: {
      name: [0, 1, 2, 3, 4],
      parent: [-1, 0, 0, 0, 0],
      selfA: [0, 0.5, 0, 0.5, 0],
      selfB: [0, 0.6, 0.4, 0, 0.2],
      totalA: [1, 0.5, 0, 0.5, 0],
      totalB: [1.2, 0.6, 0.4, 0, 0.2],
    },
  },
} as unknown as DiffAnswer

test('widths are means; what one side lacks is marked, folded frames are not', () => {
  const tree = readDiffTree(answer)
  expect([...tree.totals].map(value => Number(value.toFixed(3)))).toEqual([1.1, 0.55, 0.2, 0.25, 0.1])
  expect([0, 1, 2, 3, 4].map(node => tree.difference?.mark(node))).toEqual(['', '', 'new', 'gone', ''])
  expect([0, 1, 2, 3].map(node => tree.difference?.facts(node))).toEqual([
    'A 100% → B 120.0%, +20.0% (+20.0 %)',
    'A 50.0% → B 60.0%, +10.0% (+20.0 %)',
    'A 0% → B 40.0%, +40.0%, new',
    'A 50.0% → B 0%, −50.0%, gone',
  ])
})

test('a change that is less than would have been found has no colour', () => {
  // 0.3 x sqrt(0.55 x 0.45) is 0.149; 'kept' grew by 0.1, 'fresh' by 0.4.
  const { difference } = readDiffTree(answer)
  expect(difference?.fill(1)).toBe('var(--frame-quiet)')
  expect(difference?.fill(2)).toContain('--diff-more')
})

test('colour says the direction, and equal sides have none', () => {
  expect(differenceFill(0)).toBe('var(--frame-quiet)')
  expect(differenceFill(0.25)).toContain('--diff-more) 50%')
  expect(differenceFill(-4)).toContain('--diff-less) 100%')
})
