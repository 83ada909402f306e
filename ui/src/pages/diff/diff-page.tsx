import type { LabelMatcher } from '@strobe/profile'
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeftRight, RotateCw } from 'lucide-react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components'
import { useApi } from '../../api/api-context.ts'
import {
  ChoicePicker,
  ControlButton,
  IconButton,
  optionClass,
  popoverClass,
} from '../../components/controls.tsx'
import { FlamePanel, FlameSkeleton, FlameToolbar } from '../../components/flame-panel.tsx'
import { ErrorNotice } from '../../components/notices.tsx'
import { preferredType, typeChoicesOf } from '../../components/profile-types.ts'
import { TableAndGraph } from '../../components/table-and-graph.tsx'
import { useIsWide } from '../../components/use-is-wide.ts'
import { readDiffTree } from '../../flamegraph/diff-tree.ts'
import { searchTree } from '../../flamegraph/search.ts'
import { type FlameTree, findPath, frameOf, pathHash } from '../../flamegraph/tree.ts'
import { useKeptAnswer } from '../../state/kept-answer.ts'
import type { DiffSearch } from '../../state/search-params.ts'
import { formatSelector, parseSelector } from '../../state/selector.ts'
import { resolveRange } from '../../state/time-range.ts'
import { ChangeTable, countShown, readShow, shows } from './change-table.tsx'
import { Legend } from './legend.tsx'
import { SideRow } from './side-row.tsx'
import { applyPreset, findVersionChange, type PresetId, presets, readSides, writeSides } from './sides.ts'
import { VerdictPanel } from './verdict.tsx'

const route = getRouteApi('/s/$service/diff')
const nodeLimit = 2500
const versionSteps = 336

const normalizations = [
  { id: 'share', text: 'Shares', hint: 'load divides out' },
  { id: 'rate', text: 'Per instance', hint: 'under equal load' },
]

export function DiffPage() {
  const { service } = route.useParams()
  return <DiffView key={service} service={service} />
}

function DiffView({ service }: { service: string }) {
  const api = useApi()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const isWide = useIsWide()
  const findField = useRef<HTMLInputElement>(null)
  const [pointed, setPointed] = useState<{ tree: FlameTree; node: number } | null>(null)
  // 'now' is resolved once for both sides, until a refresh.
  const [nowMs, setNowMs] = useState(() => Date.now())
  const patch = useCallback(
    (change: DiffSearch, replace = false) =>
      navigate({ search: previous => ({ ...previous, ...change }), replace }),
    [navigate],
  )
  const sides = useMemo(() => readSides(search, nowMs), [search, nowMs])
  const scope: LabelMatcher[] = useMemo(() => [{ name: 'service_name', op: '=', value: service }], [service])
  const rangeA = resolveRange(sides.a.from, sides.a.to, nowMs)
  const rangeB = resolveRange(sides.b.from, sides.b.to, nowMs)
  const queryOf = (filter: string) => formatSelector([...scope, ...(parseSelector(filter) ?? [])])

  useEffect(() => {
    document.title = `${service}, compared · Strobe`
  }, [service])

  const types = useQuery({
    queryKey: ['profile-types', service, rangeB],
    queryFn: ({ signal }) => api.profileTypes(formatSelector(scope), rangeB, signal),
    placeholderData: keepPreviousData,
  })
  const type = search.type ?? preferredType(types.data)
  const normalize = search.normalize ?? 'share'
  const selection = {
    type: type ?? '',
    ...{ queryA: queryOf(sides.a.filter), fromA: rangeA.from, toA: rangeA.to },
    ...{ queryB: queryOf(sides.b.filter), fromB: rangeB.from, toB: rangeB.to },
    normalize,
  }
  const isReadable = parseSelector(sides.a.filter) !== null && parseSelector(sides.b.filter) !== null
  const diffQuery = useQuery({
    queryKey: ['diff', selection],
    queryFn: ({ signal }) => api.diff({ ...selection, nodes: nodeLimit }, signal),
    placeholderData: keepPreviousData,
    enabled: type !== undefined && isReadable,
  })
  const diff = useKeptAnswer(diffQuery)
  const choosing = useMutation({
    mutationFn: async (id: PresetId) => {
      const now = Date.now()
      const range = { from: now - 14 * 86_400_000, to: now }
      const change =
        id === 'version'
          ? findVersionChange(
              await api.series({
                ...{ type: type ?? '', query: formatSelector(scope), ...range },
                ...{ by: 'service_version', points: versionSteps },
              }),
            )
          : null
      if (id === 'version' && !change)
        throw new Error(`${service} reported fewer than two versions (service_version) in the last 14 days.`)
      patch({ ...writeSides(applyPreset(id, sides, change, now)), at: '' })
    },
  })

  const tree = useMemo(() => (diff.data ? readDiffTree(diff.data) : null), [diff.data])
  const found = useMemo(() => (tree ? searchTree(tree, search.find ?? '') : null), [tree, search.find])
  const zoomed = useMemo(() => (tree ? findPath(tree, search.at ?? '') : 0), [tree, search.at])
  const zoom = Math.max(zoomed, 0)
  const onFind = useCallback((term: string) => patch({ find: term }, true), [patch])
  const onZoom = useCallback(
    (node: number) => {
      if (tree) patch({ at: pathHash(tree, node) })
    },
    [tree, patch],
  )

  const error = types.error ?? diffQuery.error ?? choosing.error
  const show = readShow(search.show)
  const node = pointed?.tree === tree ? (pointed?.node ?? zoom) : zoom
  const unit = diff.data?.unit ?? ''

  const table = diff.data ? (
    <div className="flex h-full min-h-0 flex-col">
      <fieldset className="flex shrink-0 gap-1 overflow-x-auto px-2 py-1">
        <legend className="sr-only">Which changes</legend>
        {shows.map(({ id, text }) => (
          <button
            key={id}
            type="button"
            aria-pressed={show === id}
            className={`h-6 rounded px-2 text-dense whitespace-nowrap ${show === id ? 'bg-selected font-medium' : 'text-muted hover:text-ink'}`}
            onClick={() => patch({ show: id === 'all' ? '' : id }, true)}
          >
            {text} {countShown(diff.data?.functions ?? [], id).toLocaleString('en')}
          </button>
        ))}
      </fieldset>
      <div className="min-h-0 flex-1">
        <ChangeTable
          answer={diff.data}
          show={show}
          find={search.find ?? ''}
          isStale={diff.isStale}
          isNarrow={!isWide}
          onFind={onFind}
        />
      </div>
    </div>
  ) : null
  const graph = tree ? (
    <FlamePanel
      tree={tree}
      zoom={zoom}
      search={found}
      isIcicle={search.shape !== 'flame'}
      isStale={diff.isStale}
      isZoomLost={zoomed < 0}
      onZoom={onZoom}
      onPoint={next => setPointed(next === null ? null : { tree, node: next })}
    />
  ) : (
    <FlameSkeleton />
  )

  return (
    <div className="flex min-h-full flex-col wide:h-full wide:min-h-[640px]">
      <div className="flex shrink-0 flex-wrap items-center gap-2 border-b border-line bg-panel px-4 py-2">
        <h1 className="mr-2 flex min-w-0 items-baseline gap-2 text-[16px] font-semibold tracking-tight">
          <Link
            to="/s/$service"
            params={{ service }}
            className="max-w-72 truncate hover:underline"
            title={service}
          >
            {service}
          </Link>
          <span className="font-normal text-muted">compared</span>
        </h1>
        <ChoicePicker
          label="Profile type"
          choices={typeChoicesOf(types.data, type)}
          value={type ?? ''}
          onChange={id => patch({ type: id })}
        />
        <ChoicePicker
          label="Compare by"
          choices={normalizations}
          value={normalize}
          onChange={id => patch({ normalize: id === 'rate' ? 'rate' : 'share' })}
        />
        <div className="ml-auto flex items-center gap-2">
          <MenuTrigger>
            <ControlButton isDisabled={choosing.isPending}>Choose sides</ControlButton>
            <Popover className={popoverClass} placement="bottom end">
              <Menu
                className="outline-none"
                onAction={key => {
                  const preset = presets.find(({ id }) => id === key)
                  if (preset) choosing.mutate(preset.id)
                }}
              >
                {presets.map(({ id, text }) => (
                  <MenuItem key={id} id={id} className={optionClass}>
                    {text}
                  </MenuItem>
                ))}
              </Menu>
            </Popover>
          </MenuTrigger>
          <IconButton
            label="Swap A and B"
            onPress={() => patch({ ...writeSides({ a: sides.b, b: sides.a }), at: '' })}
          >
            <ArrowLeftRight size={15} aria-hidden="true" />
          </IconButton>
          <IconButton label="Refresh" onPress={() => setNowMs(Date.now())}>
            <RotateCw
              size={15}
              aria-hidden="true"
              className={diffQuery.isFetching ? 'animate-spin motion-reduce:animate-none' : ''}
            />
          </IconButton>
        </div>
      </div>
      <div className="flex shrink-0 flex-col gap-1.5 border-b border-line bg-panel px-4 py-2">
        <SideRow
          letter="A"
          title="baseline"
          service={service}
          scope={scope}
          side={sides.a}
          range={rangeA}
          answer={diff.data?.a}
          unit={unit}
          onChange={a => patch({ ...writeSides({ ...sides, a }), at: '' })}
        />
        <SideRow
          letter="B"
          title="what is compared with it"
          service={service}
          scope={scope}
          side={sides.b}
          range={rangeB}
          answer={diff.data?.b}
          unit={unit}
          onChange={b => patch({ ...writeSides({ ...sides, b }), at: '' })}
        />
      </div>
      {error && (
        <div className="shrink-0 px-4 py-2">
          <ErrorNotice
            error={error}
            isDataKept={tree !== null && !choosing.error}
            onRetry={() => {
              choosing.reset()
              for (const one of [types, diffQuery]) if (one.error) one.refetch()
            }}
          />
        </div>
      )}
      {diff.data ? (
        <VerdictPanel answer={diff.data} onFind={onFind} />
      ) : error ? null : (
        <output aria-label="Comparing" className="block h-20 shrink-0 bg-panel px-4 py-3">
          <span className="block h-4 w-64 animate-pulse rounded bg-hover" />
        </output>
      )}
      {(tree || !error) && (
        <>
          <FlameToolbar
            tree={tree}
            find={search.find ?? ''}
            search={found && { count: found.nodes.length, weight: found.weight }}
            zoom={zoom}
            isIcicle={search.shape !== 'flame'}
            downloads={[]}
            findField={findField}
            onFind={onFind}
            onZoom={onZoom}
            onShape={isIcicle => patch({ shape: isIcicle ? 'icicle' : 'flame' }, true)}
          />
          <TableAndGraph
            table={table}
            graph={graph}
            isWide={isWide}
            isWideTable
            isStale={diff.isStale}
            view={search.view ?? 'table'}
            onView={view => patch({ view }, true)}
          />
          {tree && diff.data && (
            <section
              aria-label="Selected frame"
              className="flex min-h-10 shrink-0 flex-wrap items-center gap-x-5 gap-y-1 border-t border-line bg-panel px-4 py-1.5 text-dense"
            >
              <span className="min-w-0 flex-1 basis-72 truncate font-mono" title={frameOf(tree, node).name}>
                {node === 0 ? 'All frames' : frameOf(tree, node).name}
              </span>
              <span className="tabular-nums">{tree.difference?.facts(node)}</span>
              <Legend answer={diff.data} />
            </section>
          )}
        </>
      )}
    </div>
  )
}
