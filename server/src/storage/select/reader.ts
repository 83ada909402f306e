import type { ClickHouseClient } from '@clickhouse/client'
import { CodedError } from '../../errors.ts'
import type { Statement } from './statement.ts'

export interface ReadLimits {
  timeoutMs: number
  memoryBytes: number
  rows: number
  /** Statements at once; others wait in order. */
  concurrency: number
}

/** What one query cost so far; statements of the same query add to the same object. */
export interface ReadUsage {
  rowsRead: number
  bytesRead: number
  /** Tables that sums over samples were read from, where an answer has such. */
  levels?: string[]
}

export interface Reader {
  /**
   * Runs a statement and returns its rows as arrays, in column order.
   * Throws QUERY_CANCELLED, QUERY_TOO_SLOW, QUERY_TOO_LARGE, STORE_NOT_READY, STORE_FAILED.
   */
  rows<Row extends unknown[]>(
    statement: Statement,
    usage: ReadUsage,
    signal: AbortSignal | undefined,
  ): Promise<Row[]>
  /** The same as RowBinary, for large answers: no text is made or parsed. */
  bytes(statement: Statement, usage: ReadUsage, signal: AbortSignal | undefined): Promise<Buffer>
}

/** observe is called once per statement, for metrics. */
export function createReader(
  client: ClickHouseClient,
  limits: ReadLimits,
  observe: (statement: string, elapsedMs: number, failure: string) => void = () => {},
): Reader {
  const gate = createGate(limits.concurrency)
  const settings = [
    `max_execution_time = ${Math.max(1, Math.ceil(limits.timeoutMs / 1000))}`,
    `max_memory_usage = ${limits.memoryBytes}`,
    `max_result_rows = ${limits.rows}`,
    "result_overflow_mode = 'throw'",
  ].join(', ')
  // Settings in the request cost the embedded engine two statements, so only what the SQL cannot carry.
  // wait_end_of_query is none for it: it asks for the summary of what was read, and makes a real server tell
  // an error by its status, never by the end of an answer.
  const requestSettings = (statement: Statement) => ({
    wait_end_of_query: 1 as const,
    ...(statement.sql.length > 200_000 ? { max_query_size: '2097152' } : {}),
  })

  async function run<T>(
    statement: Statement,
    signal: AbortSignal | undefined,
    work: (query: string) => Promise<T>,
  ): Promise<T> {
    const leave = await gate(signal)
    const startedAt = performance.now()
    let failure = ''
    try {
      return await work(`${statement.sql} SETTINGS ${settings}`)
    } catch (error) {
      const coded = codedFailure(error, statement, limits, signal)
      failure = coded.code
      throw coded
    } finally {
      leave()
      observe(statement.name, performance.now() - startedAt, failure)
    }
  }

  return {
    rows: <Row extends unknown[]>(
      statement: Statement,
      usage: ReadUsage,
      signal: AbortSignal | undefined,
    ): Promise<Row[]> =>
      run(statement, signal, async query => {
        const result = await client.query({
          query,
          query_params: statement.params,
          format: 'JSONCompactEachRow',
          clickhouse_settings: requestSettings(statement),
          ...(signal ? { abort_signal: signal } : {}),
        })
        const rows = (await result.json()) as unknown as Row[]
        addSummary(usage, result.response_headers['x-clickhouse-summary'], rows.length)
        return rows
      }),
    bytes: (statement, usage, signal) =>
      run(statement, signal, async query => {
        const { stream, response_headers } = await client.exec({
          query: `${query} FORMAT RowBinary`,
          query_params: statement.params,
          clickhouse_settings: requestSettings(statement),
          ...(signal ? { abort_signal: signal } : {}),
        })
        const chunks: Buffer[] = []
        for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
        addSummary(usage, response_headers['x-clickhouse-summary'], 0)
        return Buffer.concat(chunks)
      }),
  }
}

function addSummary(usage: ReadUsage, header: string | string[] | undefined, answered: number): void {
  const summary = readSummary(header, answered)
  usage.rowsRead += summary.rows
  usage.bytesRead += summary.bytes
}

/** Without a summary what was answered is the only count there is. */
function readSummary(
  header: string | string[] | undefined,
  answered: number,
): { rows: number; bytes: number } {
  if (typeof header !== 'string') return { rows: answered, bytes: 0 }
  try {
    const summary = JSON.parse(header) as Record<string, string>
    return { rows: Number(summary.read_rows ?? 0), bytes: Number(summary.read_bytes ?? 0) }
  } catch {
    return { rows: answered, bytes: 0 }
  }
}

function codedFailure(
  error: unknown,
  statement: Statement,
  limits: ReadLimits,
  signal: AbortSignal | undefined,
): CodedError {
  if (error instanceof CodedError) return error
  const cause = { cause: error }
  const { code, message } = error as { code?: string; message?: string }
  if (signal?.aborted)
    return new CodedError(
      'QUERY_CANCELLED',
      'the query was cancelled because the client went away',
      {},
      cause,
    )
  // Numbers from ClickHouse's ErrorCodes.cpp; they are part of its protocol.
  switch (code) {
    case '159':
    case '160':
      return new CodedError(
        'QUERY_TOO_SLOW',
        `the query ran longer than ${limits.timeoutMs} ms (STROBE_QUERY_TIMEOUT); take a shorter range or fewer series`,
        { statement: statement.name, limitMs: limits.timeoutMs },
        cause,
      )
    case '241':
      return new CodedError(
        'QUERY_TOO_LARGE',
        `the query needed more than ${limits.memoryBytes} bytes of memory (STROBE_QUERY_MEMORY); take a shorter range or fewer series`,
        { statement: statement.name, limitBytes: limits.memoryBytes },
        cause,
      )
    case '396':
      return new CodedError(
        'QUERY_TOO_LARGE',
        `the query answers with more than ${limits.rows} rows (STROBE_QUERY_ROWS); take a shorter range or fewer series`,
        { statement: statement.name, limitRows: limits.rows },
        cause,
      )
    case '427':
      return new CodedError(
        'BAD_REGEX',
        `a regular expression of the query is not RE2: ${message}`,
        {},
        cause,
      )
  }
  if (/ECONNREFUSED|ECONNRESET|ENOENT|EPIPE|socket hang up|timeout error/i.test(`${code} ${message}`))
    return new CodedError(
      'STORE_NOT_READY',
      `the store does not answer (${code ?? message}); it restarts by itself, try again in a few seconds`,
      {},
      cause,
    )
  return new CodedError(
    'STORE_FAILED',
    `the store refused statement ${statement.name}: ${message ?? String(error)}`,
    { statement: statement.name },
    cause,
  )
}

/** A counting gate, first come first served; waiting ends when the signal fires. */
function createGate(places: number): (signal: AbortSignal | undefined) => Promise<() => void> {
  let free = places
  const waiting: (() => void)[] = []
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else free++
  }
  return async signal => {
    if (signal?.aborted) throw cancelled()
    if (free > 0) {
      free--
      return once(leave)
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        waiting.splice(waiting.indexOf(enter), 1)
        reject(cancelled())
      }
      const enter = () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      waiting.push(enter)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
    return once(leave)
  }
}

function once(action: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    action()
  }
}

function cancelled(): CodedError {
  return new CodedError('QUERY_CANCELLED', 'the query was cancelled because the client went away')
}
