import { useRouter } from '@tanstack/react-router'
import { Cell, Row, Table, TableBody, TableHeader } from 'react-aria-components'
import type { Series, Service } from '../../api/types.ts'
import { cellClass, compareText } from '../../components/data-table.ts'
import { formatAgo, threeDigits } from '../../components/format.ts'
import { SortColumn } from '../../components/sort-header.tsx'
import { Sparkline } from '../../components/sparkline.tsx'
import { formatSort, parseSort } from '../../state/search-params.ts'

const order: Record<string, (a: Service, b: Service) => number> = {
  service: (a, b) => compareText(a.name, b.name),
  cores: (a, b) => (a.cores ?? -1) - (b.cores ?? -1),
  instances: (a, b) => a.instances - b.instances,
  versions: (a, b) => compareText(a.versions.join(), b.versions.join()),
  seen: (a, b) => a.lastSeen - b.lastSeen,
}

export function ServiceTable({
  services,
  trendOf,
  sort,
  range,
  isStale,
  onSort,
}: {
  services: Service[]
  trendOf: Map<string, Series['points']>
  sort: string | undefined
  /** Goes along to the service's page. */
  range: { from?: string; to?: string }
  isStale: boolean
  onSort(sort: string): void
}) {
  const router = useRouter()
  const descriptor = parseSort(sort, { column: 'cores', direction: 'descending' })
  const compare = order[descriptor.column] ?? order.cores
  const sign = descriptor.direction === 'descending' ? -1 : 1
  const sorted = services.toSorted((a, b) => sign * (compare?.(a, b) ?? 0) || compareText(a.name, b.name))
  const most = Math.max(...services.map(service => service.cores ?? 0))
  const now = Date.now()
  return (
    <section
      className="mx-4 mb-4 shrink-0 overflow-x-auto rounded-lg border border-line bg-panel"
      aria-label="All services"
    >
      <Table
        aria-label="Services"
        className={`w-full min-w-[760px] transition-opacity ${isStale ? 'opacity-60' : ''}`}
        sortDescriptor={descriptor}
        onSortChange={next =>
          onSort(
            formatSort({
              column: String(next.column),
              // The first click on a number wants the largest on top.
              direction:
                next.column !== descriptor.column && next.column !== 'service' && next.column !== 'versions'
                  ? 'descending'
                  : next.direction,
            }),
          )
        }
      >
        <TableHeader className="border-b border-line">
          <SortColumn id="service" label="Service" isRowHeader className="pl-4" />
          <SortColumn id="cores" label="Cores" isEnd />
          <SortColumn id="trend" label="CPU trend" allowsSorting={false} />
          <SortColumn id="types" label="Profile types" allowsSorting={false} />
          <SortColumn id="instances" label="Instances" isEnd />
          <SortColumn id="versions" label="Versions" />
          <SortColumn id="seen" label="Last profile" isEnd className="pr-4" />
        </TableHeader>
        <TableBody items={sorted} dependencies={[trendOf, most]}>
          {service => (
            <Row
              id={service.name}
              href={
                router.buildLocation({ to: '/s/$service', params: { service: service.name }, search: range })
                  .href
              }
              className="h-11 cursor-pointer border-t border-line outline-offset-[-2px] first:border-t-0 hover:bg-hover"
            >
              <Cell className={`${cellClass} pl-4 font-medium`}>
                {service.name}
                {service.demo && (
                  <span className="ml-2 rounded bg-warn-bg px-1.5 py-0.5 text-dense text-warn">demo</span>
                )}
              </Cell>
              <Cell className={`${cellClass} text-right tabular-nums`}>
                {service.cores === null ? (
                  <span className="text-muted">—</span>
                ) : (
                  <span
                    className="inline-block min-w-14 rounded px-1.5 py-0.5"
                    style={{
                      background: `linear-gradient(to right, var(--bar) ${((service.cores / (most || 1)) * 100).toFixed(1)}%, transparent 0)`,
                    }}
                  >
                    {threeDigits(service.cores)}
                  </span>
                )}
              </Cell>
              <Cell className={cellClass}>
                <Sparkline points={trendOf.get(service.name) ?? []} unit="cores" />
              </Cell>
              <Cell className={cellClass}>
                <span className="flex flex-wrap gap-1">
                  {[...new Set(service.types.map(typeTitle))].map(title => (
                    <span key={title} className="rounded border border-line px-1.5 text-dense text-muted">
                      {title}
                    </span>
                  ))}
                </span>
              </Cell>
              <Cell className={`${cellClass} text-right tabular-nums`}>{service.instances}</Cell>
              <Cell className={`${cellClass} font-mono text-dense`}>
                {service.versions.length === 0 ? (
                  <span className="font-sans text-muted">—</span>
                ) : (
                  `${service.versions.slice(-2).join(', ')}${service.versions.length > 2 ? ` +${service.versions.length - 2}` : ''}`
                )}
              </Cell>
              <Cell className={`${cellClass} pr-4 text-right text-muted tabular-nums`}>
                {service.lastSeen === 0 ? '—' : formatAgo(service.lastSeen, now)}
              </Cell>
            </Row>
          )}
        </TableBody>
      </Table>
    </section>
  )
}

/** process_cpu:cpu:nanoseconds:cpu:nanoseconds is shown as cpu. */
function typeTitle(id: string): string {
  return id.split(':')[1] ?? id
}

export function TableSkeleton() {
  return (
    <output
      aria-label="Loading"
      className="mx-4 block overflow-hidden rounded-lg border border-line bg-panel"
    >
      {['w-40', 'w-56', 'w-32', 'w-48'].map(width => (
        <span key={width} className="flex h-11 items-center border-t border-line px-4 first:border-t-0">
          <span className={`h-3 ${width} animate-pulse rounded bg-hover`} />
        </span>
      ))}
    </output>
  )
}
