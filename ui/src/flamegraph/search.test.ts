import { expect, test } from 'vitest'
import { searchTree } from './search.ts'
import { treeFromText } from './testing.ts'

const tree = treeFromText(`
  main 1
    fib 2
      fib 3
        print 4
    Printf 5
      write 6
    3 smaller frames 9`)

function found(term: string): string {
  const result = searchTree(tree, term)
  return result ? `${result.nodes.length} frames, ${result.weight} of ${tree.total}` : 'no search'
}

test.each([
  ['', 'no search'],
  ['  ', 'no search'],
  ['nothing', '0 frames, 0 of 30'],
  ['main', '1 frames, 30 of 30'],
  // 2 + 3 + 4: the inner fib is part of the outer one.
  ['fib', '2 frames, 9 of 30'],
  // print 4, Printf 5 with write 6.
  ['PRINT', '2 frames, 15 of 30'],
  ['"print"', '1 frames, 4 of 30'],
  ['(', '0 frames, 0 of 30'],
  ['smaller', '0 frames, 0 of 30'],
  ['all', '0 frames, 0 of 30'],
])('%j matches %s', (term, expected) => expect(found(term)).toBe(expected))
