import { expect, test } from 'vitest'
import { buildCallTree } from '../call-tree.ts'
import { columnStacks } from '../column-stacks.ts'
import { functionId, functionStackId, namedFrameId, stackId } from '../identity.ts'
import { resolveStacks } from '../normalize.ts'
import { dedent, formatTree, profileFromColumns } from '../testing.ts'
import { cutStacks } from './cut-stacks.ts'

const resolved = resolveStacks(
  profileFromColumns(`
    1     2     4     8
    main  main  .     .
    a     other .     .
    b     b     b     .
    c     c     c     d`),
)

test('the leaf side stays below a frame that says so', () => {
  const { profile, cut, isCut } = cutStacks(resolved, 3)
  expect([cut, [...isCut]]).toEqual([2, [1, 1, 0, 0]])
  // Worked out by hand: stacks of four frames keep the three next to the leaf.
  const { values, frames, ...stacks } = columnStacks(profile, 0)
  expect(formatTree(buildCallTree(stacks, values, frames))).toBe(
    dedent(`
      all 15 0
        d 8 8
        b 4 0
          c 4 4
        [truncated]@[unwinder] 3 0
          other 2 0
            b 2 0
              c 2 2
          a 1 0
            b 1 0
              c 1 1`),
  )
})

test('a profile without such stacks is the same object', () => {
  expect(cutStacks(resolved, 4).profile).toBe(resolved)
})

test('ids are those of the frames that stay; other stacks keep theirs', () => {
  const { profile } = cutStacks(resolved, 2)
  const id = (name: string) => resolved.frameId[resolved.functions.findIndex(fn => fn.name === name)]!
  const fn = (name: string) => resolved.functionId[resolved.functions.findIndex(each => each.name === name)]!
  // As the agent marks a stack that it could not finish.
  const marker = functionId('[truncated]', '', '', 0, '[unwinder]')
  const markerFrame = namedFrameId(marker, 0, '')
  const kept = BigUint64Array.of(id('c'), id('b'), markerFrame)
  expect([profile.stackId[0], profile.stackId[1]]).toEqual([stackId(kept), stackId(kept)])
  expect(profile.fstackId[0]).toBe(functionStackId(BigUint64Array.of(fn('c'), fn('b'), marker)))
  expect(profile.stackId[2]).toBe(resolved.stackId[2])
  expect(profile.frameKind.at(-1)).toBe('none')
})
