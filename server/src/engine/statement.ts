/** Reads of a statement what decides how it runs; the engine itself parses the SQL. */
export interface Statement {
  kind: 'insert' | 'read' | 'other'
  /** FORMAT clause at the end of the text, '' without one. */
  format: string
}

// Formats whose blocks may be written one after another; the others repeat or close a document per block.
const blockwise = new Set([
  'JSONEachRow',
  'JSONStringsEachRow',
  'JSONCompactEachRow',
  'JSONCompactStringsEachRow',
  'RowBinary',
  'Native',
  'TabSeparated',
  'TSV',
  'TabSeparatedRaw',
  'TSVRaw',
  'CSV',
  'LineAsString',
  'Null',
])

const binary = new Set(['RowBinary', 'RowBinaryWithNames', 'RowBinaryWithNamesAndTypes', 'Native'])

export function isBlockwise(format: string): boolean {
  return blockwise.has(format)
}

export function isBinary(format: string): boolean {
  return binary.has(format)
}

const leading = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\()*/

export function readStatement(sql: string): Statement {
  const start = leading.exec(sql)![0].length
  const word = /^[a-z]+/i.exec(sql.slice(start))?.[0]?.toUpperCase() ?? ''
  const format = /\bFORMAT\s+([A-Za-z0-9]+)\s*(?:SETTINGS\b[^;]*)?;?\s*$/i.exec(sql)?.[1] ?? ''
  if (word === 'INSERT') return { kind: 'insert', format }
  if (['SELECT', 'WITH', 'SHOW', 'DESCRIBE', 'DESC', 'EXPLAIN', 'EXISTS'].includes(word))
    return { kind: 'read', format }
  return { kind: 'other', format }
}

export interface BinaryInsert {
  table: string
  /** As written, '' for all columns. */
  columns: string
  /** Text of the SETTINGS clause without the word, '' without one. */
  settings: string
  format: string
}

const identifier = '(?:`(?:[^`\\\\]|\\\\.)*`|"(?:[^"\\\\]|\\\\.)*"|[A-Za-z_][A-Za-z0-9_]*)'
const binaryInsert = new RegExp(
  `^\\s*INSERT\\s+INTO\\s+(?:TABLE\\s+)?(${identifier}(?:\\.${identifier})?)\\s*(?:\\(([^)]*)\\))?\\s*` +
    `(?:SETTINGS\\s+([\\s\\S]+?))?\\s*FORMAT\\s+([A-Za-z0-9]+)\\s*;?\\s*$`,
  'i',
)

/** null when the statement is not `INSERT INTO table [(columns)] [SETTINGS ...] FORMAT name`. */
export function readBinaryInsert(sql: string): BinaryInsert | null {
  const match = binaryInsert.exec(sql)
  if (!match) return null
  return {
    table: match[1]!,
    columns: match[2]?.trim() ?? '',
    settings: match[3]?.trim() ?? '',
    format: match[4]!,
  }
}

export function quoteString(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

export function quoteIdentifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
}
