import { ArrowDown, ArrowUp } from 'lucide-react'
import { Column } from 'react-aria-components'
import { headerCellClass } from './data-table.ts'

export function SortColumn({
  id,
  label,
  isEnd = false,
  isRowHeader = false,
  className = '',
  allowsSorting = true,
  width,
  minWidth,
}: {
  id: string
  label: string
  isEnd?: boolean
  isRowHeader?: boolean
  className?: string
  allowsSorting?: boolean
  width?: number | `${number}fr`
  minWidth?: number
}) {
  return (
    <Column
      id={id}
      isRowHeader={isRowHeader}
      allowsSorting={allowsSorting}
      {...(width === undefined ? {} : { width })}
      {...(minWidth === undefined ? {} : { minWidth })}
      className={({ sortDirection }) =>
        `${headerCellClass} ${className} ${allowsSorting ? 'cursor-pointer' : ''} ${sortDirection ? 'text-ink' : ''}`
      }
    >
      {({ sortDirection }) => (
        <span className={`flex h-7 items-center gap-1 ${isEnd ? 'justify-end' : ''}`}>
          {label}
          {sortDirection === 'ascending' && <ArrowUp size={12} aria-hidden="true" />}
          {sortDirection === 'descending' && <ArrowDown size={12} aria-hidden="true" />}
        </span>
      )}
    </Column>
  )
}
