import { useMemo } from 'react'
import {
  Cell,
  Column,
  Row,
  Table,
  TableBody,
  TableHeader,
  TableLayout,
  Virtualizer,
} from 'react-aria-components'
import type { ChangeRow, DiffAnswer } from '../../api/types.ts'
import { cellClass, headerCellClass } from '../../components/data-table.ts'
import { formatShare } from '../../components/format.ts'
import { signed } from '../../flamegraph/diff-tree.ts'
import { frameMatcher, isExact } from '../../flamegraph/search.ts'
import { shortName } from '../../flamegraph/tree.ts'

export const shows = [
  { id: 'all', text: 'All' },
  { id: 'worse', text: 'Worse' },
  { id: 'better', text: 'Better' },
  { id: 'new', text: 'New' },
  { id: 'removed', text: 'Removed' },
] as const

type Show = (typeof shows)[number]['id']

export function readShow(text: string | undefined): Show {
  return shows.find(({ id }) => id === text)?.id ?? 'all'
}

const isShown: Record<Show, (row: ChangeRow) => boolean> = {
  all: () => true,
  worse: row => row.state === 'slower',
  better: row => row.state === 'faster',
  new: row => row.isNew,
  removed: row => row.isGone,
}

export function countShown(rows: readonly ChangeRow[], show: Show): number {
  return rows.filter(isShown[show]).length
}

const words: Record<ChangeRow['state'], string> = {
  slower: 'worse',
  faster: 'better',
  small: 'small',
  moved: 'moved',
  unclear: 'noise',
  rare: 'rare',
}

const hints: Record<ChangeRow['state'], string> = {
  slower: 'Takes more time of its own than before: more than noise',
  faster: 'Takes less time of its own than before: more than noise',
  small: 'More than noise, but under 0.1 points of the total or 5 % of the function',
  moved: 'Its share changed only because others did',
  unclear: 'Not told from noise',
  rare: 'Too few samples to be tested',
}

/** Functions by how much their own share changed, from the server's exact sums. */
export function ChangeTable({
  answer,
  show,
  find,
  isStale,
  isNarrow,
  onFind,
}: {
  answer: DiffAnswer
  show: Show
  find: string
  isStale: boolean
  isNarrow: boolean
  onFind(term: string): void
}) {
  const entries = useMemo(() => {
    const matches = find === '' || isExact(find) ? null : frameMatcher(find)
    return answer.functions
      .map((row, index) => ({ key: String(index), row }))
      .filter(({ row }) => isShown[show](row) && (matches?.(row) ?? true))
  }, [answer, show, find])
  const marked = isExact(find) ? find.slice(1, -1) : null
  const header = (end: boolean) => `${headerCellClass} ${end ? 'text-right' : ''} leading-7`
  return (
    <div className={`flex h-full min-h-0 flex-col transition-opacity ${isStale ? 'opacity-60' : ''}`}>
      <div className="min-h-0 flex-1">
        <Virtualizer layout={TableLayout} layoutOptions={{ rowHeight: 28, headingHeight: 29 }}>
          <Table
            aria-label="Functions that changed"
            className="h-full overflow-auto"
            onRowAction={key => {
              const row = answer.functions[Number(key)]
              if (row) onFind(row.name === marked ? '' : `"${row.name}"`)
            }}
          >
            <TableHeader className="border-b border-line bg-panel">
              <Column id="state" width={62} className={header(false)}>
                Change
              </Column>
              <Column id="function" isRowHeader width="1fr" minWidth={130} className={header(false)}>
                Function
              </Column>
              {isNarrow ? null : (
                <Column id="a" width={64} className={header(true)}>
                  Self A
                </Column>
              )}
              <Column id="b" width={64} className={header(true)}>
                Self B
              </Column>
              <Column id="shift" width={isNarrow ? 70 : 178} className={header(true)}>
                {isNarrow ? 'Points' : 'Points, 95 % interval'}
              </Column>
              {isNarrow ? null : (
                <Column id="q" width={66} className={header(true)}>
                  q
                </Column>
              )}
            </TableHeader>
            <TableBody
              items={entries}
              dependencies={[marked, isNarrow]}
              renderEmptyState={() => (
                <p className="p-4 text-muted">
                  {find === '' ? 'No function is among these.' : `No function here matches “${find}”.`}
                </p>
              )}
            >
              {({ key, row }) => (
                <Row
                  id={key}
                  className={`h-7 cursor-pointer outline-offset-[-2px] hover:bg-hover ${row.name === marked ? 'bg-selected' : ''}`}
                >
                  <Cell className={`${cellClass} leading-7`}>
                    <span className={`text-dense ${toneOf(row)}`} title={hints[row.state]}>
                      {wordOf(row)}
                    </span>
                  </Cell>
                  <Cell className={`${cellClass} leading-7`}>
                    <span className="font-mono text-dense" title={row.name}>
                      {shortName(row.name)}
                    </span>
                    {row.module && (
                      <span className="ml-2 text-[11px] text-muted">{row.module.split('/').at(-1)}</span>
                    )}
                  </Cell>
                  {isNarrow ? null : (
                    <Cell className={`${cellClass} text-right text-dense leading-7 tabular-nums`}>
                      {formatShare(row.selfA)}
                    </Cell>
                  )}
                  <Cell className={`${cellClass} text-right text-dense leading-7 tabular-nums`}>
                    {formatShare(row.selfB)}
                  </Cell>
                  <Cell className={`${cellClass} text-right text-dense leading-7 tabular-nums`}>
                    {row.state === 'rare' ? (
                      <span className="text-muted">–</span>
                    ) : (
                      <>
                        <span className={toneOf(row)}>{points(row.shift)}</span>
                        {!isNarrow && (
                          <span className="text-muted">
                            {' '}
                            {points(row.low)} … {points(row.high)}
                          </span>
                        )}
                      </>
                    )}
                  </Cell>
                  {isNarrow ? null : (
                    <Cell className={`${cellClass} text-right text-dense leading-7 text-muted tabular-nums`}>
                      {row.state === 'rare' ? '–' : row.q < 0.001 ? '<0.001' : row.q.toFixed(3)}
                    </Cell>
                  )}
                </Row>
              )}
            </TableBody>
          </Table>
        </Virtualizer>
      </div>
      {answer.omitted.functions > 0 && (
        <p className="border-t border-line px-2 py-1 text-dense text-muted">
          {answer.omitted.functions.toLocaleString('en')} smaller functions are not listed.
        </p>
      )}
    </div>
  )
}

function wordOf(row: ChangeRow): string {
  if (row.state === 'slower' && row.isNew) return 'new'
  if (row.state === 'faster' && row.isGone) return 'gone'
  return words[row.state]
}

function toneOf({ state }: ChangeRow): string {
  if (state === 'slower') return 'font-medium text-bad'
  return state === 'faster' ? 'font-medium text-good' : 'text-muted'
}

/** Of the total: +1.23. */
function points(share: number): string {
  return signed(share * 100, size => (size >= 10 ? size.toFixed(1) : size.toFixed(2)))
}
