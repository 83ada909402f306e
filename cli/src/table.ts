/** A column: its title, and whether it holds numbers, which line up on the right. */
export interface Column {
  title: string
  isNumber?: boolean
}

/**
 * Aligned text. Cells that would pass `width` are cut in the last column, with an ellipsis; control
 * characters, which a name from a profile may hold, never reach the terminal.
 */
export function formatTable(columns: Column[], rows: string[][], width = Number.POSITIVE_INFINITY): string {
  const cells = [columns.map(column => column.title), ...rows.map(row => row.map(cleanText))]
  const widths = columns.map((_, columnIndex) =>
    Math.max(...cells.map(row => (row[columnIndex] ?? '').length)),
  )
  const last = columns.length - 1
  const room = Math.max(8, width - widths.slice(0, last).reduce((sum, each) => sum + each + 2, 0))
  return cells
    .map(row =>
      columns
        .map((column, columnIndex) => {
          const text = row[columnIndex] ?? ''
          if (columnIndex === last) return text.length > room ? `${text.slice(0, room - 1)}…` : text
          return column.isNumber ? text.padStart(widths[columnIndex]!) : text.padEnd(widths[columnIndex]!)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Without control characters. */
export function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to keep out
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '�')
}
