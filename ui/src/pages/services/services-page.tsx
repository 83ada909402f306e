import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { useEffect, useState } from 'react'
import { useApi } from '../../api/api-context.ts'
import type { Series } from '../../api/types.ts'
import { ControlButton } from '../../components/controls.tsx'
import { EmptyNotice, ErrorNotice } from '../../components/notices.tsx'
import { RangePicker } from '../../components/range-picker.tsx'
import { FirstSteps } from './first-steps.tsx'
import { ServiceTable, TableSkeleton } from './service-table.tsx'

const route = getRouteApi('/services')
const sparklinePoints = 60

export function ServicesPage() {
  const api = useApi()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const range = { from: search.from ?? 'now-1h', to: search.to ?? 'now' }
  const find = search.find ?? ''

  useEffect(() => {
    document.title = 'Services · Strobe'
  }, [])

  const services = useQuery({
    queryKey: ['services', range],
    queryFn: ({ signal }) => api.services(range, signal),
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
  })
  const isEmpty = services.data?.services.length === 0
  const ever = { from: 'now-90d', to: 'now' }
  const everSeen = useQuery({
    queryKey: ['services', ever],
    queryFn: ({ signal }) => api.services(ever, signal),
    enabled: isEmpty,
    refetchInterval: 2000,
  })
  const trends = useQuery({
    queryKey: ['trends', range],
    queryFn: ({ signal }) =>
      api.series({ type: 'cpu', query: '', by: 'service_name', points: sparklinePoints, ...range }, signal),
    placeholderData: keepPreviousData,
    enabled: services.data !== undefined && !isEmpty,
    refetchInterval: 15_000,
  })
  const trendOf = new Map<string, Series['points']>(
    trends.data?.series.map(series => [series.labels.service_name ?? '', series.points]) ?? [],
  )

  const shown = (services.data?.services ?? []).filter(service =>
    service.name.toLowerCase().includes(find.toLowerCase()),
  )
  const lastProfileMs = Math.max(0, ...(everSeen.data?.services.map(service => service.lastSeen) ?? []))

  const isFirstVisit = isEmpty && everSeen.data !== undefined && lastProfileMs === 0

  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <div className="flex flex-wrap items-center gap-2 px-4 pt-4 pb-3">
        <h1 className="mr-auto text-title font-semibold tracking-tight">Services</h1>
        {!isFirstVisit && (
          <>
            <FindField
              value={find}
              onChange={next => navigate({ search: { ...search, find: next }, replace: true })}
            />
            <RangePicker {...range} onChange={next => navigate({ search: { ...search, ...next } })} />
          </>
        )}
      </div>
      {services.error && (
        <div className="px-4 pb-3">
          <ErrorNotice
            error={services.error}
            isDataKept={services.data !== undefined}
            onRetry={() => services.refetch()}
          />
        </div>
      )}
      {services.isPending && <TableSkeleton />}
      {isEmpty && everSeen.isPending && <TableSkeleton />}
      {isFirstVisit && <FirstSteps checkedMs={everSeen.dataUpdatedAt} />}
      {isEmpty && lastProfileMs > 0 && (
        <EmptyNotice
          title="No profiles in this time range"
          actions={
            <ControlButton
              onPress={() =>
                navigate({
                  search: { ...search, from: String(lastProfileMs - 36e5), to: String(lastProfileMs + 1000) },
                })
              }
            >
              Show the hour before the last profile
            </ControlButton>
          }
        >
          The last profile of any service came {new Date(lastProfileMs).toLocaleString('en-GB')}.
        </EmptyNotice>
      )}
      {!isEmpty && services.data && shown.length === 0 && (
        <EmptyNotice
          title="No service matches"
          actions={
            <ControlButton onPress={() => navigate({ search: { ...search, find: '' } })}>
              Show all
            </ControlButton>
          }
        >
          None of {services.data.services.length} services has “{find}” in its name.
        </EmptyNotice>
      )}
      {shown.length > 0 && (
        <ServiceTable
          services={shown}
          trendOf={trendOf}
          sort={search.sort}
          range={search.from || search.to ? range : {}}
          isStale={services.isPlaceholderData}
          onSort={sort => navigate({ search: { ...search, sort }, replace: true })}
        />
      )}
    </div>
  )
}

function FindField({ value, onChange }: { value: string; onChange(value: string): void }) {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  return (
    <label className="relative">
      <span className="sr-only">Find a service</span>
      <Search size={14} aria-hidden="true" className="absolute top-2.5 left-2.5 text-muted" />
      <input
        type="search"
        placeholder="Find a service"
        className="h-8 w-52 rounded-control border border-line-strong bg-panel pr-2 pl-8 placeholder:text-muted"
        value={text}
        onChange={event => {
          setText(event.target.value)
          onChange(event.target.value)
        }}
      />
    </label>
  )
}
