import type { LabelMatcher } from '@strobe/profile'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { GitCompareArrows, RotateCw } from 'lucide-react'
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useApi } from '../../api/api-context.ts'
import type { Meta } from '../../api/types.ts'
import { ChoicePicker, controlClass, IconButton } from '../../components/controls.tsx'
import { FlamePanel, FlameSkeleton, FlameToolbar } from '../../components/flame-panel.tsx'
import { formatShare } from '../../components/format.ts'
import { LabelFilter } from '../../components/label-filter.tsx'
import { ErrorNotice, WarningStrip } from '../../components/notices.tsx'
import { preferredType, typeChoicesOf } from '../../components/profile-types.ts'
import { RangePicker } from '../../components/range-picker.tsx'
import { saveBlob } from '../../components/save-blob.ts'
import { TableAndGraph } from '../../components/table-and-graph.tsx'
import { useIsWide } from '../../components/use-is-wide.ts'
import { frameMatcher, isExact, searchTree } from '../../flamegraph/search.ts'
import { findPath, frameOf, pathHash, readTree } from '../../flamegraph/tree.ts'
import { useKeptAnswer } from '../../state/kept-answer.ts'
import type { ServiceSearch } from '../../state/search-params.ts'
import { formatSelector, parseSelector } from '../../state/selector.ts'
import { readKey } from '../../state/session-key.ts'
import { resolveRange } from '../../state/time-range.ts'
import { EmptyReason } from './empty-reason.tsx'
import { CoverageFooter, FrameDetails } from './frame-details.tsx'
import { FunctionTable } from './function-table.tsx'

const TimeSeries = lazy(() => import('../../components/time-series.tsx'))
const route = getRouteApi('/s/$service')
const nodeLimit = 2500
const functionLimit = 1000
const seriesPoints = 300
const formats = [
  { name: 'pprof', format: 'pprof', file: 'profile.pb.gz' },
  { name: 'Folded stacks', format: 'folded', file: 'profile.folded.txt' },
  { name: 'speedscope', format: 'speedscope', file: 'profile.speedscope.json' },
] as const

export function ServicePage() {
  const { service } = route.useParams()
  // Another service starts afresh: its page must not show the answers of the one before.
  return <ServiceView key={service} service={service} />
}

function ServiceView({ service }: { service: string }) {
  const api = useApi()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const isWide = useIsWide()
  const findField = useRef<HTMLInputElement>(null)
  const [pointed, setPointed] = useState<number | null>(null)
  const [refreshes, setRefreshes] = useState(0)
  const [saveError, setSaveError] = useState<Error | null>(null)

  const patch = useCallback(
    (change: ServiceSearch, replace = false) =>
      navigate({ search: previous => ({ ...previous, ...change }), replace }),
    [navigate],
  )
  const from = search.from ?? 'now-1h'
  const to = search.to ?? 'now'
  // 'now' is resolved once for all requests of the page: table and graph show the same samples.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a refresh moves 'now'
  const range = useMemo(() => resolveRange(from, to, Date.now()), [from, to, refreshes])
  const scope: LabelMatcher[] = useMemo(() => [{ name: 'service_name', op: '=', value: service }], [service])
  const filter = search.q ?? ''
  const matchers = parseSelector(filter)
  const query = formatSelector([...scope, ...(matchers ?? [])])

  useEffect(() => {
    document.title = `${service} · Strobe`
  }, [service])
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isTyping =
        event.target instanceof HTMLElement && event.target.closest('input, textarea, [role=listbox]')
      if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey) return
      event.preventDefault()
      findField.current?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])

  const types = useQuery({
    queryKey: ['profile-types', service, range],
    queryFn: ({ signal }) => api.profileTypes(formatSelector(scope), range, signal),
    placeholderData: keepPreviousData,
  })
  const type = search.type ?? preferredType(types.data)
  const selection = { type: type ?? '', query, ...range }
  const isEnabled = type !== undefined && matchers !== null
  const flamegraphQuery = useQuery({
    queryKey: ['flamegraph', selection],
    queryFn: ({ signal }) => api.flamegraph({ ...selection, nodes: nodeLimit }, signal),
    placeholderData: keepPreviousData,
    enabled: isEnabled,
  })
  const flamegraph = useKeptAnswer(flamegraphQuery)
  const functionSort = search.sort?.includes('total') ? 'total' : 'self'
  const functionsQuery = useQuery({
    queryKey: ['functions', selection, functionSort],
    queryFn: ({ signal }) =>
      api.functions({ ...selection, sort: functionSort, limit: functionLimit }, signal),
    placeholderData: keepPreviousData,
    enabled: isEnabled,
  })
  const functions = useKeptAnswer(functionsQuery)
  const by = search.by ?? ''
  const seriesQuery = useQuery({
    queryKey: ['series', selection, by],
    queryFn: ({ signal }) => api.series({ ...selection, by, points: seriesPoints }, signal),
    placeholderData: keepPreviousData,
    enabled: isEnabled,
  })
  const series = useKeptAnswer(seriesQuery)
  const labels = useQuery({
    queryKey: ['labels', formatSelector(scope), range],
    queryFn: ({ signal }) => api.labels(formatSelector(scope), range, signal),
    placeholderData: keepPreviousData,
  })

  const tree = useMemo(() => (flamegraph.data ? readTree(flamegraph.data) : null), [flamegraph.data])
  const found = useMemo(() => (tree ? searchTree(tree, search.find ?? '') : null), [tree, search.find])
  // The graph leaves small stacks out; one whole function has its exact total in the table.
  const exactTotal = useMemo(() => {
    const term = search.find ?? ''
    if (!isExact(term)) return null
    const rows = functions.data?.functions.filter(frameMatcher(term)) ?? []
    return rows.length === 1 ? (rows[0]?.total ?? null) : null
  }, [functions.data, search.find])
  const zoomed = useMemo(() => (tree ? findPath(tree, search.at ?? '') : 0), [tree, search.at])
  const zoom = Math.max(zoomed, 0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a node number means nothing in another tree
  useEffect(() => setPointed(null), [tree])
  const unsymbolizedShare = useMemo(() => {
    if (!tree) return 0
    let weight = 0
    tree.self.forEach((self, node) => {
      if (frameOf(tree, node).kind === 'unsymbolized') weight += self
    })
    return weight / (tree.total || 1)
  }, [tree])

  const onZoom = useCallback(
    (node: number) => {
      if (tree) patch({ at: pathHash(tree, node) })
    },
    [tree, patch],
  )
  const onFind = useCallback((term: string) => patch({ find: term }, true), [patch])
  const onRange = (next: { from: string; to: string }) => patch(next)
  const retry = () => {
    setSaveError(null)
    for (const one of [types, flamegraphQuery, functionsQuery, seriesQuery]) if (one.error) one.refetch()
  }

  const error = types.error ?? flamegraphQuery.error ?? functionsQuery.error ?? seriesQuery.error ?? saveError
  const isTypeMissing = types.data !== undefined && type === undefined
  const isEmpty =
    isTypeMissing || (flamegraph.data !== undefined && !flamegraph.isStale && flamegraph.data.total === 0)
  const isStale = flamegraph.isStale || functions.isStale
  const meta = flamegraph.data?.meta
  const typeChoices = typeChoicesOf(types.data, type)
  const byChoices = [
    { id: '', text: 'nothing' },
    ...(labels.data ?? [])
      .filter(label => label !== 'service_name')
      .map(label => ({ id: label, text: label })),
  ]
  if (by !== '' && !byChoices.some(one => one.id === by)) byChoices.push({ id: by, text: by })

  const table = functions.data ? (
    <FunctionTable
      answer={functions.data}
      find={search.find ?? ''}
      sort={search.sort}
      isStale={functions.isStale}
      isNarrow={!isWide}
      onSort={sort => patch({ sort }, true)}
      onFind={onFind}
    />
  ) : (
    <TableSkeleton />
  )
  const graph = tree ? (
    <FlamePanel
      tree={tree}
      zoom={zoom}
      search={found}
      isIcicle={search.shape !== 'flame'}
      isStale={flamegraph.isStale}
      isZoomLost={zoomed < 0}
      onZoom={onZoom}
      onPoint={setPointed}
    />
  ) : (
    <FlameSkeleton />
  )

  return (
    <div className="flex min-h-full flex-col wide:h-full wide:min-h-[560px]">
      <div className="flex shrink-0 flex-wrap items-center gap-2 border-b border-line bg-panel px-4 py-2">
        <h1 className="mr-2 max-w-72 truncate text-[16px] font-semibold tracking-tight" title={service}>
          {service}
        </h1>
        <ChoicePicker
          label="Profile type"
          choices={typeChoices}
          value={type ?? ''}
          onChange={id => patch({ type: id })}
        />
        <LabelFilter query={filter} scope={scope} range={range} onChange={q => patch({ q })} />
        <div className="ml-auto flex items-center gap-2">
          <Link
            to="/s/$service/diff"
            params={{ service }}
            search={{ qb: filter, fb: from, tb: to, ...(search.type ? { type: search.type } : {}) }}
            className={controlClass}
          >
            <GitCompareArrows size={14} aria-hidden="true" className="text-muted" />
            Compare
          </Link>
          <RangePicker from={from} to={to} onChange={onRange} />
          <IconButton label="Refresh" onPress={() => setRefreshes(count => count + 1)}>
            <RotateCw
              size={15}
              aria-hidden="true"
              className={flamegraphQuery.isFetching ? 'animate-spin motion-reduce:animate-none' : ''}
            />
          </IconButton>
        </div>
      </div>
      {error && (
        <div className="shrink-0 px-4 py-2">
          <ErrorNotice error={error} isDataKept={tree !== null} onRetry={retry} />
        </div>
      )}
      {meta && !isEmpty && <Partial meta={meta} />}
      {isEmpty ? (
        <EmptyReason
          service={service}
          scope={scope}
          query={filter}
          type={type ?? ''}
          types={types.data ?? []}
          range={range}
          onType={id => patch({ type: id })}
          onClearFilter={() => patch({ q: '' })}
          onRange={(start, end) => patch({ from: start, to: end })}
        />
      ) : error && !tree ? null : (
        <>
          <div className="relative shrink-0 bg-panel">
            {series.data ? (
              <Suspense fallback={<div className="h-[152px]" />}>
                <TimeSeries
                  answer={series.data}
                  range={range}
                  isStale={series.isStale}
                  tools={
                    <ChoicePicker
                      label="Split by"
                      isSmall
                      choices={byChoices}
                      value={by}
                      onChange={label => patch({ by: label }, true)}
                    />
                  }
                  onRange={(start, end) => patch({ from: String(start), to: String(end) })}
                />
              </Suspense>
            ) : (
              <output aria-label="Loading the time series" className="block h-[152px] p-4">
                <span className="block h-full animate-pulse rounded bg-hover" />
              </output>
            )}
          </div>
          <FlameToolbar
            tree={tree}
            find={search.find ?? ''}
            search={found && { count: found.nodes.length, weight: exactTotal ?? found.weight }}
            zoom={zoom}
            isIcicle={search.shape !== 'flame'}
            downloads={formats.map(({ name, format, file }) => {
              const url = api.profileUrl(selection, format)
              const save = () => void api.readFile(url).then(blob => saveBlob(blob, file), setSaveError)
              return { name, url, save: readKey() === '' ? undefined : save }
            })}
            findField={findField}
            onFind={onFind}
            onZoom={onZoom}
            onShape={isIcicle => patch({ shape: isIcicle ? 'icicle' : 'flame' }, true)}
          />
          <TableAndGraph
            table={table}
            graph={graph}
            isWide={isWide}
            isStale={isStale}
            view={search.view ?? 'flame'}
            onView={view => patch({ view }, true)}
          />
          {tree && meta && (
            <>
              <FrameDetails tree={tree} node={Math.min(pointed ?? zoom, tree.frame.length - 1)} meta={meta} />
              <CoverageFooter
                meta={meta}
                omittedShare={(flamegraph.data?.omitted.weight ?? 0) / (tree.total || 1)}
                unsymbolizedShare={unsymbolizedShare}
              />
            </>
          )}
        </>
      )}
    </div>
  )
}

/** Says so when samples are missing from the answer; idle minutes stand in the footer. */
function Partial({ meta }: { meta: Meta }) {
  const parts = [
    ...(meta.lost > meta.expected / 100
      ? [`${formatShare(meta.lost / Math.max(meta.expected, 1))} of the samples were lost on the host`]
      : []),
    ...(meta.truncated > meta.expected / 20 && meta.expected > 0
      ? [`${formatShare(meta.truncated / meta.expected)} of the stacks are cut short at the root`]
      : []),
  ]
  return parts.length === 0 ? null : <WarningStrip>Partial: {parts.join('; ')}.</WarningStrip>
}

function TableSkeleton() {
  return (
    <output aria-label="Loading the functions" className="flex flex-col">
      {['w-48', 'w-64', 'w-40', 'w-56', 'w-32', 'w-60'].map(width => (
        <span key={width} className="flex h-7 items-center px-2">
          <span className={`h-2.5 ${width} animate-pulse rounded bg-hover`} />
        </span>
      ))}
    </output>
  )
}
