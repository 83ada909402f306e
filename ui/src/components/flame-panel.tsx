import { ArrowDownToLine, ArrowUpToLine, ChevronRight, Download, RotateCcw, Search, X } from 'lucide-react'
import { Fragment, lazy, type RefObject, Suspense, useEffect, useState } from 'react'
import { Button, Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components'
import type { SearchResult } from '../flamegraph/search.ts'
import { type FlameTree, frameOf, pathTo, shortName } from '../flamegraph/tree.ts'
import { controlClass, IconButton, optionClass, popoverClass } from './controls.tsx'
import { countOf, formatShare } from './format.ts'

const FlameGraph = lazy(() => import('../flamegraph/flame-graph.tsx'))
const searchDelayMs = 150

export function FlameToolbar({
  tree,
  find,
  search,
  zoom,
  isIcicle,
  downloads,
  findField,
  onFind,
  onZoom,
  onShape,
}: {
  tree: FlameTree | null
  find: string
  search: { count: number; weight: number } | null
  zoom: number
  isIcicle: boolean
  /** save: where a plain link would come without the key. */
  downloads: { name: string; url: string; save?: (() => void) | undefined }[]
  findField: RefObject<HTMLInputElement | null>
  onFind(term: string): void
  onZoom(node: number): void
  onShape(isIcicle: boolean): void
}) {
  const [text, setText] = useState(find)
  useEffect(() => setText(find), [find])
  useEffect(() => {
    if (text === find) return
    const timer = setTimeout(() => onFind(text), searchDelayMs)
    return () => clearTimeout(timer)
  }, [text, find, onFind])
  return (
    <div className="flex shrink-0 flex-wrap items-center gap-2 border-y border-line bg-panel px-4 py-1.5">
      <label className="relative max-sm:flex-1">
        <span className="sr-only">Search frames</span>
        <Search size={14} aria-hidden="true" className="absolute top-2.5 left-2.5 text-muted" />
        <input
          ref={findField}
          type="text"
          placeholder="Search frames  ( / )"
          className="h-8 w-64 rounded-control border border-line-strong bg-panel pr-8 pl-8 font-mono text-dense placeholder:font-sans placeholder:text-ui placeholder:text-muted max-sm:w-full"
          value={text}
          onChange={event => setText(event.target.value)}
          onKeyDown={event => {
            if (event.key === 'Escape') setText('')
          }}
        />
        {text !== '' && (
          <Button
            aria-label="Clear the search"
            className="absolute top-1 right-1 inline-flex size-6 items-center justify-center rounded text-muted hover:text-ink"
            onPress={() => {
              setText('')
              onFind('')
            }}
          >
            <X size={14} aria-hidden="true" />
          </Button>
        )}
      </label>
      <output
        aria-live="polite"
        className="text-dense text-muted tabular-nums empty:hidden max-sm:order-last max-sm:w-full"
      >
        {search && tree && (
          <>
            matches {countOf(search.count, 'frame')},{' '}
            <strong className="font-semibold text-ink">
              {formatShare(search.weight / (tree.total || 1))} of total
            </strong>
          </>
        )}
      </output>
      <div className="ml-auto flex items-center gap-2">
        <Button
          aria-label="Reset zoom"
          className={controlClass}
          isDisabled={zoom === 0}
          onPress={() => onZoom(0)}
        >
          <RotateCcw size={14} aria-hidden="true" />
          <span className="max-sm:hidden">Reset zoom</span>
        </Button>
        <IconButton
          label={isIcicle ? 'Root at the bottom (flame)' : 'Root at the top (icicle)'}
          onPress={() => onShape(!isIcicle)}
        >
          {isIcicle ? (
            <ArrowDownToLine size={15} aria-hidden="true" />
          ) : (
            <ArrowUpToLine size={15} aria-hidden="true" />
          )}
        </IconButton>
        {downloads.length > 0 && (
          <MenuTrigger>
            <IconButton label="Download">
              <Download size={15} aria-hidden="true" />
            </IconButton>
            <Popover className={popoverClass} placement="bottom end">
              <Menu className="outline-none">
                {downloads.map(download => (
                  <MenuItem
                    key={download.name}
                    className={optionClass}
                    {...(download.save
                      ? { onAction: download.save }
                      : { href: download.url, download: true as const })}
                  >
                    {download.name}
                  </MenuItem>
                ))}
              </Menu>
            </Popover>
          </MenuTrigger>
        )}
      </div>
    </div>
  )
}

export function FlamePanel({
  tree,
  zoom,
  search,
  isIcicle,
  isStale,
  isZoomLost,
  onZoom,
  onPoint,
}: {
  tree: FlameTree
  zoom: number
  search: SearchResult | null
  isIcicle: boolean
  isStale: boolean
  /** The URL zooms in on a frame that this answer does not have. */
  isZoomLost: boolean
  onZoom(node: number): void
  onPoint(node: number | null): void
}) {
  return (
    <div className="flex h-full min-h-0 min-w-0 flex-col">
      <Breadcrumb tree={tree} zoom={zoom} isZoomLost={isZoomLost} onZoom={onZoom} />
      <div
        className={`min-h-0 flex-1 overflow-x-hidden overflow-y-auto transition-opacity ${isStale ? 'opacity-60' : ''}`}
      >
        <Suspense fallback={<FlameSkeleton />}>
          <FlameGraph
            tree={tree}
            zoom={zoom}
            search={search}
            isIcicle={isIcicle}
            onZoom={onZoom}
            onPoint={onPoint}
          />
        </Suspense>
      </div>
    </div>
  )
}

const shownSteps = 4

function Breadcrumb({
  tree,
  zoom,
  isZoomLost,
  onZoom,
}: {
  tree: FlameTree
  zoom: number
  isZoomLost: boolean
  onZoom(node: number): void
}) {
  const path = pathTo(tree, zoom)
  const cut = path.length > shownSteps + 1 ? path.length - shownSteps : 1
  const shown = path.filter((_, step) => step === 0 || step >= cut)
  return (
    <nav aria-label="Zoom path" className="flex h-7 shrink-0 items-center overflow-hidden px-1 text-dense">
      <ol className="flex min-w-0 items-center">
        {shown.map((node, step) => (
          <Fragment key={node}>
            {step > 0 && (
              <li aria-hidden="true" className="flex shrink-0 items-center text-muted">
                <ChevronRight size={13} />
                {step === 1 && cut > 1 && <span className="px-0.5">…</span>}
                {step === 1 && cut > 1 && <ChevronRight size={13} />}
              </li>
            )}
            <li className="min-w-0">
              <Button
                className={`block h-6 max-w-56 truncate rounded px-1.5 ${step > 0 ? 'font-mono' : ''} ${node === zoom ? '' : 'text-muted hover:text-ink'}`}
                aria-current={node === zoom}
                onPress={() => onZoom(node)}
              >
                {node === 0 ? 'All frames' : shortName(frameOf(tree, node).name)}
              </Button>
            </li>
          </Fragment>
        ))}
      </ol>
      {isZoomLost && <span className="ml-2 text-warn">The zoomed frame is not in this selection.</span>}
    </nav>
  )
}

export function FlameSkeleton() {
  return (
    <output aria-label="Loading the flame graph" className="flex flex-col gap-px pt-7">
      {[100, 92, 90, 74, 58, 41, 37, 22, 12].map(width => (
        <span
          key={width}
          className="h-[19px] animate-pulse rounded-[2px] bg-hover"
          style={{ width: `${width}%` }}
        />
      ))}
    </output>
  )
}
