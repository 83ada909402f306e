import type { DrawNode } from './tree.ts'

/** What d3 binds to a drawn frame: x0 and x1 are shares of the width, between 0 and 1. */
export interface HierarchyRectangularNode {
  data: DrawNode
  depth: number
  x0: number
  x1: number
  parent: HierarchyRectangularNode | null
  children?: HierarchyRectangularNode[]
}
