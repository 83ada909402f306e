import { useMemo } from 'react'
import { Cell, Row, Table, TableBody, TableHeader, TableLayout, Virtualizer } from 'react-aria-components'
import type { FunctionRow, FunctionsAnswer } from '../../api/types.ts'
import { cellClass, compareText } from '../../components/data-table.ts'
import { formatShare, formatWeight } from '../../components/format.ts'
import { SortColumn } from '../../components/sort-header.tsx'
import { frameMatcher, isExact } from '../../flamegraph/search.ts'
import { shortName } from '../../flamegraph/tree.ts'
import { formatSort, parseSort } from '../../state/search-params.ts'

interface Entry {
  key: string
  row: FunctionRow
}

const order: Record<string, (a: FunctionRow, b: FunctionRow) => number> = {
  function: (a, b) => compareText(shortName(a.name), shortName(b.name)),
  self: (a, b) => a.self - b.self,
  total: (a, b) => a.total - b.total,
}

/**
 * Functions by self and total, from the server's exact sums. A search narrows it down; the name of one
 * function in quotes only marks its row.
 */
export function FunctionTable({
  answer,
  find,
  sort,
  isStale,
  isNarrow,
  onSort,
  onFind,
}: {
  answer: FunctionsAnswer
  find: string
  sort: string | undefined
  isStale: boolean
  /** Shares alone, to leave room for the names. */
  isNarrow: boolean
  onSort(sort: string): void
  onFind(term: string): void
}) {
  const descriptor = parseSort(sort, { column: 'self', direction: 'descending' })
  const { column, direction } = descriptor
  const entries = useMemo(() => {
    const matches = find === '' || isExact(find) ? null : frameMatcher(find)
    const compare = order[column] ?? order.self
    const sign = direction === 'descending' ? -1 : 1
    return answer.functions
      .map((row, index): Entry => ({ key: String(index), row }))
      .filter(({ row }) => matches?.(row) ?? true)
      .sort((a, b) => sign * (compare?.(a.row, b.row) ?? 0))
  }, [answer, find, column, direction])
  const marked = isExact(find) ? find.slice(1, -1) : null
  const total = answer.total || 1

  return (
    <div className={`flex h-full min-h-0 flex-col transition-opacity ${isStale ? 'opacity-60' : ''}`}>
      <div className="min-h-0 flex-1">
        <Virtualizer layout={TableLayout} layoutOptions={{ rowHeight: 28, headingHeight: 29 }}>
          <Table
            aria-label="Functions"
            className="h-full overflow-auto"
            sortDescriptor={descriptor}
            onSortChange={next =>
              onSort(
                formatSort({
                  column: String(next.column),
                  direction:
                    next.column !== column && next.column !== 'function' ? 'descending' : next.direction,
                }),
              )
            }
            onRowAction={key => {
              const row = answer.functions[Number(key)]
              if (row) onFind(row.name === marked ? '' : `"${row.name}"`)
            }}
          >
            <TableHeader className="border-b border-line bg-panel">
              <SortColumn id="function" label="Function" isRowHeader width="1fr" minWidth={150} />
              <SortColumn id="self" label="Self" isEnd width={isNarrow ? 76 : 126} />
              <SortColumn id="total" label="Total" isEnd width={isNarrow ? 76 : 126} />
            </TableHeader>
            <TableBody
              items={entries}
              dependencies={[marked, total, answer.unit, isNarrow]}
              renderEmptyState={() => <p className="p-4 text-muted">No function matches “{find}”.</p>}
            >
              {({ key, row }) => (
                <Row
                  id={key}
                  className={`h-7 cursor-pointer outline-offset-[-2px] hover:bg-hover ${row.name === marked ? 'bg-selected' : ''}`}
                >
                  <Cell className={`${cellClass} leading-7`}>
                    <span
                      className={`font-mono text-dense ${row.kind === 'kernel' ? 'text-muted' : ''}`}
                      title={row.name}
                    >
                      {shortName(row.name)}
                    </span>
                    {row.module && (
                      <span className="ml-2 text-[11px] text-muted">{row.module.split('/').at(-1)}</span>
                    )}
                  </Cell>
                  <Cell className={cellClass}>
                    <Weight value={row.self} total={total} unit={isNarrow ? null : answer.unit} />
                  </Cell>
                  <Cell className={cellClass}>
                    <Weight value={row.total} total={total} unit={isNarrow ? null : answer.unit} />
                  </Cell>
                </Row>
              )}
            </TableBody>
          </Table>
        </Virtualizer>
      </div>
      {answer.omitted.functions > 0 && (
        <p className="border-t border-line px-2 py-1 text-dense text-muted">
          {answer.omitted.functions.toLocaleString('en')} smaller functions,{' '}
          {formatShare(answer.omitted.self / total)} of self, are not listed.
        </p>
      )}
    </div>
  )
}

function Weight({ value, total, unit }: { value: number; total: number; unit: string | null }) {
  return (
    <span
      className="flex h-7 items-center justify-end gap-2 text-dense tabular-nums"
      style={{
        background: `linear-gradient(to right, var(--bar) ${((value / total) * 100).toFixed(1)}%, transparent 0) center / 100% 20px no-repeat`,
      }}
    >
      {unit !== null && <span className="text-muted">{formatWeight(value, unit)}</span>}
      <span className="w-12 text-right">{formatShare(value / total)}</span>
    </span>
  )
}
