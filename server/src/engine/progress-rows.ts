/** Answers whose rows can be told from what the engine read for them. */
const counted = /(\bFORMAT\s+)(JSONEachRow|JSONCompactEachRow)(\s*(?:SETTINGS\b[^;]*)?;?\s*)$/i

/** The statement with its format's variant that counts, null when it has none. */
export function withProgressFormat(sql: string): string | null {
  return counted.test(sql) ? sql.replace(counted, '$1$2WithProgress$3') : null
}

export interface CountedRows {
  /** One row a line, as the format without progress writes it. */
  rows: Uint8Array
  resultRows: number
  readRows: string
  readBytes: string
  elapsedNs: string
}

const rowStart = Buffer.from('{"row":')
const progressStart = Buffer.from('{"progress":')
const newline = 10

/**
 * Splits JSONEachRowWithProgress and JSONCompactEachRowWithProgress: lines `{"row":R}` between lines of
 * progress, whose counts grow to the total.
 */
export function readCountedRows(answer: Uint8Array): CountedRows {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength)
  const rows = Buffer.allocUnsafe(bytes.length)
  const counts = { read_rows: '0', read_bytes: '0', elapsed_ns: '0' }
  let filled = 0
  let resultRows = 0
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(newline, at)
    const end = found < 0 ? bytes.length : found
    if (startsWith(bytes, at, end, rowStart)) {
      filled += bytes.copy(rows, filled, at + rowStart.length, end - 1)
      rows[filled++] = newline
      resultRows++
    } else if (startsWith(bytes, at, end, progressStart)) {
      const { progress } = JSON.parse(bytes.toString('utf8', at, end)) as { progress: Partial<typeof counts> }
      Object.assign(counts, progress)
    }
    at = end + 1
  }
  return {
    rows: rows.subarray(0, filled),
    resultRows,
    readRows: counts.read_rows,
    readBytes: counts.read_bytes,
    elapsedNs: counts.elapsed_ns,
  }
}

function startsWith(bytes: Buffer, at: number, end: number, prefix: Buffer): boolean {
  return at + prefix.length <= end && bytes.compare(prefix, 0, prefix.length, at, at + prefix.length) === 0
}
