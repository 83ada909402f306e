import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { formatShare, formatWeight } from '../components/format.ts'
import { createFlameChart, type FlameChart } from './chart.ts'
import './flame-graph.css'
import { patterns } from './palette.ts'
import type { SearchResult } from './search.ts'
import { type FlameTree, frameOf, isDrawn, neighbour } from './tree.ts'

export interface FlameGraphProps {
  tree: FlameTree
  /** The node that fills the width; 0 is the root. */
  zoom: number
  search: SearchResult | null
  isIcicle: boolean
  onZoom(node: number): void
  /** The frame under the pointer or the keyboard; null when there is none. */
  onPoint(node: number | null): void
}

/**
 * A flame graph as one tab stop: arrows walk the frames, Enter zooms, Backspace goes one level out, Escape
 * and 0 all the way, n and N walk the matches. The table beside it holds the same data for screen readers.
 */
export default function FlameGraph({ tree, zoom, search, isIcicle, onZoom, onPoint }: FlameGraphProps) {
  const container = useRef<HTMLDivElement>(null)
  const chart = useRef<FlameChart>(null)
  const [widthPx, setWidthPx] = useState(0)
  const [hover, setHover] = useState<{ node: number; x: number; y: number } | null>(null)
  const [cursorOf, setCursorOf] = useState<{ tree: FlameTree; node: number } | null>(null)
  const cursor = cursorOf?.tree === tree ? cursorOf.node : -1
  const handlers = useRef({ onZoom, onPoint })
  handlers.current = { onZoom, onPoint }
  const treeNow = useRef(tree)
  treeNow.current = tree

  useLayoutEffect(() => {
    const outer = container.current
    if (!outer) return
    const host = document.createElement('div')
    outer.append(host)
    const made = createFlameChart(host, {
      onSelect(node, isFold) {
        const isOmitted = frameOf(treeNow.current, node).kind === 'omitted'
        setCursorOf({ tree: treeNow.current, node })
        handlers.current.onPoint(node)
        if (isFold || !isOmitted) handlers.current.onZoom(node)
      },
      onHover(node, x, y) {
        setHover(node === null ? null : { node, x, y })
        handlers.current.onPoint(node)
      },
    })
    chart.current = made
    const observer = new ResizeObserver(entries => {
      const width = entries[0]?.contentRect.width ?? 0
      if (width > 0) setWidthPx(Math.floor(width))
    })
    observer.observe(outer)
    return () => {
      observer.disconnect()
      made.destroy()
      host.remove()
      chart.current = null
    }
  }, [])

  useLayoutEffect(() => {
    if (widthPx === 0) return
    chart.current?.draw({
      tree,
      zoom,
      found: search?.frames ?? null,
      isIcicle,
      widthPx,
      isStill: matchMedia('(prefers-reduced-motion: reduce)').matches,
    })
  }, [tree, zoom, search, isIcicle, widthPx])

  useEffect(() => chart.current?.setCursor(cursor, true), [cursor])
  useEffect(() => setHover(current => (current && current.node < tree.frame.length ? current : null)), [tree])

  function moveTo(node: number): void {
    setCursorOf({ tree, node })
    onPoint(node)
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const at = cursor < 0 ? zoom : cursor
    const drawn = (node: number) => isDrawn(tree, zoom, node, widthPx)
    const walk: Record<string, 'caller' | 'callee' | 'left' | 'right'> = {
      ArrowUp: isIcicle ? 'caller' : 'callee',
      ArrowDown: isIcicle ? 'callee' : 'caller',
      ArrowLeft: 'left',
      ArrowRight: 'right',
    }
    const direction = walk[event.key]
    if (direction) moveTo(cursor < 0 ? zoom : neighbour(tree, at, direction, drawn))
    else if (event.key === 'Enter' && frameOf(tree, at).kind !== 'omitted') onZoom(at)
    else if (event.key === 'Backspace') onZoom(Math.max(tree.parent[zoom] ?? 0, 0))
    else if (event.key === 'Escape' || event.key === '0') onZoom(0)
    else if ((event.key === 'n' || event.key === 'N') && search && search.nodes.length > 0) {
      const inOrder = event.key === 'n' ? search.nodes : search.nodes.toReversed()
      const next = inOrder.find(node => (event.key === 'n' ? node > at : node < at)) ?? inOrder[0] ?? 0
      if (!drawn(next)) onZoom(0)
      moveTo(next)
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  const spoken = cursor < 0 ? '' : describe(tree, cursor)
  const isEdge = hover !== null && hover.x > window.innerWidth - 340
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is no group of frames */}
      <div
        ref={container}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: one tab stop for all frames, arrows move inside
        tabIndex={0}
        aria-label="Flame graph. Arrows move between frames, Enter zooms, Escape resets."
        className={`flame-graph flex min-h-full w-full flex-col ${isIcicle ? '' : 'justify-end'}`}
        onKeyDown={onKeyDown}
        onFocus={event => {
          if (cursor < 0 && event.target.matches(':focus-visible')) moveTo(zoom)
        }}
      >
        <svg className="absolute size-0" aria-hidden="true">
          <title>Patterns</title>
          <defs>
            <pattern id={patterns.kernel} width="6" height="6" patternUnits="userSpaceOnUse">
              <rect width="6" height="6" fill="oklch(0.82 0.035 75)" />
              <path d="M0 5.5H6" stroke="oklch(0.75 0.045 70)" />
            </pattern>
            <pattern id={patterns.unsymbolized} width="7" height="7" patternUnits="userSpaceOnUse">
              <rect width="7" height="7" fill="oklch(0.88 0.01 260)" />
              <path d="M-1 1L1 -1M0 7L7 0M6 8L8 6" stroke="oklch(0.76 0.02 260)" strokeWidth="1.2" />
            </pattern>
            <pattern id={patterns.omitted} width="5" height="5" patternUnits="userSpaceOnUse">
              <rect width="5" height="5" fill="oklch(0.92 0.006 260)" />
              <circle cx="2.5" cy="2.5" r="0.9" fill="oklch(0.74 0.012 260)" />
            </pattern>
          </defs>
        </svg>
      </div>
      <p className="sr-only" aria-live="polite">
        {spoken}
      </p>
      {hover && (
        <div
          aria-hidden="true"
          className="pointer-events-none fixed z-30 max-w-80 rounded-control border border-line bg-raised px-2 py-1 text-dense shadow-md"
          style={{
            top: Math.min(hover.y + 16, window.innerHeight - 64),
            ...(isEdge ? { right: window.innerWidth - hover.x + 8 } : { left: hover.x + 12 }),
          }}
        >
          <p className="font-mono break-all">{frameOf(tree, hover.node).name}</p>
          <p className="text-muted tabular-nums">{weigh(tree, hover.node)}</p>
        </div>
      )}
    </>
  )
}

function weigh(tree: FlameTree, node: number): string {
  const total = tree.totals[node] ?? 0
  return (
    tree.difference?.facts(node) ??
    `${formatShare(total / (tree.total || 1))} · ${formatWeight(total, tree.unit)}`
  )
}

function describe(tree: FlameTree, node: number): string {
  if (tree.difference) {
    return `${frameOf(tree, node).name}, ${tree.difference.facts(node)}, level ${tree.depth[node]}`
  }
  const total = tree.totals[node] ?? 0
  const self = tree.self[node] ?? 0
  return `${frameOf(tree, node).name}, total ${formatShare(total / (tree.total || 1))}, ${formatWeight(total, tree.unit)}, self ${formatWeight(self, tree.unit)}, level ${tree.depth[node]}`
}
