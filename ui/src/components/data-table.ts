/** Looks of the two tables. */
export const headerCellClass =
  'px-2 text-left text-dense font-medium text-muted outline-offset-[-2px] whitespace-nowrap data-[sorted]:text-ink'
export const cellClass = 'px-2 outline-offset-[-2px] truncate'

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
