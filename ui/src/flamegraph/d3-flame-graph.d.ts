// d3-flame-graph 5.0.0 has no types: these are the parts that chart.ts uses.
declare module 'd3-flame-graph' {
  import type { Selection } from 'd3-selection'
  import type { HierarchyRectangularNode } from './hierarchy.ts'
  import type { DrawNode } from './tree.ts'

  export interface Chart {
    (selection: Selection<HTMLElement, DrawNode, null, undefined>): void
    width(px: number): Chart
    height(px: number | null): Chart
    cellHeight(px: number): Chart
    minFrameSize(px: number): Chart
    inverted(isIcicle: boolean): Chart
    sort(isSorted: boolean): Chart
    selfValue(isSelf: boolean): Chart
    transitionDuration(ms: number): Chart
    tooltip(tooltip: unknown): Chart
    setColorMapper(mapper: (node: HierarchyRectangularNode) => string): Chart
    setDetailsHandler(handler: () => void): Chart
    setLabelHandler(handler: () => string): Chart
    zoomTo(node: HierarchyRectangularNode): void
    update(data?: DrawNode): Chart
    destroy(): Chart
  }

  export default function flamegraph(): Chart
}
