import flamegraph from 'd3-flame-graph'
import { select } from 'd3-selection'
import type { HierarchyRectangularNode } from './hierarchy.ts'
import { fillOf, foundFill, notFoundFill, patterns } from './palette.ts'
import { buildDrawTree, type DrawNode, drawBase, drawnLevels, type FlameTree } from './tree.ts'

export const rowHeightPx = 20
/** Never 0: then every frame of the tree gets five elements, seen or not, and zooming takes seconds. */
const minFrameSizePx = 0.5
const zoomMs = 150

export interface Drawing {
  tree: FlameTree
  zoom: number
  /** Indices into the tree's frames; null while nothing is searched. */
  found: Set<number> | null
  isIcicle: boolean
  widthPx: number
  /** Reduced motion: every change is at once. */
  isStill: boolean
}

export interface ChartEvents {
  /** A click on a frame; on a fold (isFold) node is the frame under which levels were folded. */
  onSelect(node: number, isFold: boolean): void
  /** null when the pointer leaves the frames. */
  onHover(node: number | null, x: number, y: number): void
}

export interface FlameChart {
  draw(next: Drawing): void
  /** Rings a frame and brings it into view; -1 takes the ring away. */
  setCursor(node: number, scroll: boolean): void
  destroy(): void
}

/** What d3-transition adds to selections; it comes with d3-flame-graph, its types do not. */
interface Interruptible {
  interrupt(): this
}

/**
 * The one place that talks to d3-flame-graph 5.0.0. element must be fresh: a chart called twice on one
 * element loses its labels once bundled, because it recognises its own data by a constructor name that
 * bundlers change.
 */
export function createFlameChart(element: HTMLElement, events: ChartEvents): FlameChart {
  const chart = flamegraph()
  // A tooltip of its own keeps the chart from writing a <title> into every frame.
  const noTooltip = Object.assign(() => undefined, { show: () => undefined, hide: () => undefined })
  let drawn: Drawing | null = null
  let base = 0
  let heightPx = 0
  let cursor = -1
  let byNode = new Map<number, HierarchyRectangularNode>()

  chart
    .cellHeight(rowHeightPx)
    .minFrameSize(minFrameSizePx)
    .sort(false)
    .selfValue(false)
    .tooltip(noTooltip)
    .setDetailsHandler(() => undefined)
    .setLabelHandler(() => '')
    .setColorMapper(node => {
      const frame = drawn?.tree.frames[node.data.frameIndex]
      if (!frame) return `url(#${patterns.omitted})`
      if (!drawn?.found) return drawn?.tree.difference?.fill(node.data.node) ?? fillOf(frame)
      return drawn.found.has(node.data.frameIndex) ? foundFill : notFoundFill
    })

  function frameAt(target: EventTarget | null): HierarchyRectangularNode | null {
    const group = target instanceof Element ? target.closest('g.frame') : null
    return group ? (select(group).datum() as HierarchyRectangularNode) : null
  }
  // Captured, so that the URL decides what is zoomed and the chart's own click handler never runs.
  const onClick = (event: MouseEvent) => {
    const node = frameAt(event.target)
    if (!node) return
    event.stopPropagation()
    events.onSelect(node.data.node, node.data.folded > 0)
  }
  const onMove = (event: MouseEvent) => {
    const node = frameAt(event.target)
    events.onHover(node ? node.data.node : null, event.clientX, event.clientY)
  }
  const onLeave = () => events.onHover(null, 0, 0)
  element.addEventListener('click', onClick, { capture: true })
  element.addEventListener('mousemove', onMove)
  element.addEventListener('mouseleave', onLeave)

  const frames = () => select(element).selectAll<SVGGElement, HierarchyRectangularNode>('g.frame')

  /** A duration of 0 still lets new frames grow for d3's default 250 ms: put them where they belong. */
  function settle(next: Drawing): void {
    const groups = frames()
    const left = (node: HierarchyRectangularNode) => node.x0 * next.widthPx
    const top = (node: HierarchyRectangularNode) =>
      next.isIcicle ? node.depth * rowHeightPx : heightPx - (node.depth + 1) * rowHeightPx
    const width = (node: HierarchyRectangularNode) => (node.x1 - node.x0) * next.widthPx
    ;(groups as unknown as Interruptible).interrupt()
    groups.attr('transform', node => `translate(${left(node)},${top(node)})`)
    const rects = groups.select<SVGRectElement>('rect')
    ;(rects as unknown as Interruptible).interrupt()
    rects.attr('width', width)
    const labels = groups.select<SVGForeignObjectElement>('foreignObject').select<HTMLDivElement>('div')
    ;(labels as unknown as Interruptible).interrupt()
    labels.text(node => node.data.n)
  }

  function mark(): void {
    const groups = frames()
    groups.classed('found', node => drawn?.found?.has(node.data.frameIndex) === true)
    const markOf = (node: HierarchyRectangularNode) =>
      node.data.folded === 0 ? drawn?.tree.difference?.mark(node.data.node) : ''
    groups.classed('is-new', node => markOf(node) === 'new')
    groups.classed('is-gone', node => markOf(node) === 'gone')
    groups.classed('cursor', node => node.data.node === cursor && node.data.folded === 0)
    // Drawn last, so that the neighbours' edges do not cover the ring.
    groups.filter('.cursor').raise()
  }

  function setHeight(next: Drawing): void {
    heightPx = drawnLevels(next.tree, base, next.zoom, next.widthPx, minFrameSizePx) * rowHeightPx
    // Without a height of its own the chart keeps the first tree's and cuts deeper ones off.
    chart.height(heightPx)
    select(element).select('svg').attr('height', heightPx)
  }

  return {
    draw(next) {
      const before = drawn
      const nextBase = drawBase(next.tree, next.zoom)
      const isNewData = before?.tree !== next.tree || nextBase !== base
      const isZoom = !isNewData && before?.zoom !== next.zoom
      const isOnlyZoom = isZoom && before?.widthPx === next.widthPx && before.isIcicle === next.isIcicle
      const durationMs = isOnlyZoom && !next.isStill ? zoomMs : 0
      drawn = next
      base = nextBase
      chart.width(next.widthPx).inverted(next.isIcicle).transitionDuration(durationMs)
      setHeight(next)
      if (isNewData) {
        const data = buildDrawTree(next.tree, base, next.zoom)
        const selection = select<HTMLElement, DrawNode>(element)
        if (before) chart.update(data)
        else selection.datum(data).call(chart)
        select(element).select('svg').attr('height', heightPx)
        byNode = new Map()
        const root = select<HTMLElement, HierarchyRectangularNode>(element).datum()
        const rest = [root]
        for (let node = rest.pop(); node; node = rest.pop()) {
          if (node.data.folded === 0) byNode.set(node.data.node, node)
          rest.push(...(node.children ?? []))
        }
      } else if (isZoom) {
        const node = byNode.get(next.zoom)
        if (node) chart.zoomTo(node)
      } else {
        chart.update()
      }
      if (durationMs === 0) settle(next)
      mark()
    },
    setCursor(node, scroll) {
      cursor = node
      mark()
      if (scroll) element.querySelector('g.cursor rect')?.scrollIntoView({ block: 'nearest' })
    },
    destroy() {
      element.removeEventListener('click', onClick, { capture: true })
      element.removeEventListener('mousemove', onMove)
      element.removeEventListener('mouseleave', onLeave)
      chart.destroy()
    },
  }
}
