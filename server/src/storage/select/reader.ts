import type { ClickHouseClient } from '@clickhouse/client'
import { CodedError } from '../../errors.ts'
import { FairGate, type GateLimits, type GateRequest } from './gate.ts'
import type { Statement } from './statement.ts'

export interface ReadLimits {
  timeoutMs: number
  memoryBytes: number
  rows: number
  /** Who may run beside whom; the others wait. */
  gate: GateLimits
}

/** One statement, once it is over. */
export interface StatementCost {
  statement: string
  tenant: string
  /** In the store, without the wait for a place there. */
  elapsedMs: number
  waitedMs: number
  /** As the store counts them; 0 when it does not, as the embedded engine for binary answers. */
  rowsRead: number
  bytesRead: number
  answerBytes: number
  /** Error code, '' when it went well. */
  failure: string
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

// From here on a statement may keep others waiting for seconds.
const longRangeSeconds = 6 * 3600

/** observe is called once per statement, for logs and metrics. */
export function createReader(
  client: ClickHouseClient,
  limits: ReadLimits,
  observe: (cost: StatementCost) => void = () => {},
): Reader {
  const gate = new FairGate(limits.gate)
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
    usage: ReadUsage,
    signal: AbortSignal | undefined,
    work: (query: string) => Promise<{ answer: T; answerBytes: number; summary: Summary }>,
  ): Promise<T> {
    const askedAt = performance.now()
    let startedAt = Number.NaN
    let leave = () => {}
    let cost = { answerBytes: 0, summary: { rows: 0, bytes: 0 } }
    let failure = ''
    try {
      leave = await gate.enter(placeOf(statement), signal)
      startedAt = performance.now()
      const { answer, ...costs } = await work(`${statement.sql} SETTINGS ${settings}`)
      cost = costs
      usage.rowsRead += cost.summary.rows
      usage.bytesRead += cost.summary.bytes
      return answer
    } catch (error) {
      const coded = codedFailure(error, statement, limits, signal)
      failure = coded.code
      throw coded
    } finally {
      leave()
      const now = performance.now()
      const hasRun = !Number.isNaN(startedAt)
      observe({
        statement: statement.name,
        tenant: String(statement.params.tenant ?? ''),
        elapsedMs: hasRun ? now - startedAt : 0,
        waitedMs: (hasRun ? startedAt : now) - askedAt,
        rowsRead: cost.summary.rows,
        bytesRead: cost.summary.bytes,
        answerBytes: cost.answerBytes,
        failure,
      })
    }
  }

  return {
    rows: <Row extends unknown[]>(
      statement: Statement,
      usage: ReadUsage,
      signal: AbortSignal | undefined,
    ): Promise<Row[]> =>
      run(statement, usage, signal, async query => {
        const result = await client.query({
          query,
          query_params: statement.params,
          format: 'JSONCompactEachRow',
          clickhouse_settings: requestSettings(statement),
          ...(signal ? { abort_signal: signal } : {}),
        })
        const answer = (await result.json()) as unknown as Row[]
        const summary = readSummary(result.response_headers['x-clickhouse-summary'], answer.length)
        return { answer, answerBytes: 0, summary }
      }),
    bytes: (statement, usage, signal) =>
      run(statement, usage, signal, async query => {
        const { stream, response_headers } = await client.exec({
          query: `${query} FORMAT RowBinary`,
          query_params: statement.params,
          clickhouse_settings: requestSettings(statement),
          ...(signal ? { abort_signal: signal } : {}),
        })
        const chunks: Buffer[] = []
        for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
        const answer = Buffer.concat(chunks)
        const summary = readSummary(response_headers['x-clickhouse-summary'], 0)
        return { answer, answerBytes: answer.length, summary }
      }),
  }
}

/** The store says how much it was about to use: `would use 1.21 GiB`. */
function observedMemory(message: string | undefined): string {
  return /would use ([\d.]+ \w+)/.exec(message ?? '')?.[1] ?? 'more'
}

function placeOf({ params }: Statement): GateRequest {
  const range = Number(params.to ?? 0) - Number(params.from ?? 0)
  return { tenant: String(params.tenant ?? ''), isLong: range >= longRangeSeconds }
}

interface Summary {
  rows: number
  bytes: number
}

/** Without a summary what was answered is the only count there is. */
function readSummary(header: string | string[] | undefined, answered: number): Summary {
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
        { statement: statement.name, limitMs: limits.timeoutMs, observed: `over ${limits.timeoutMs} ms` },
        cause,
      )
    case '241':
      return new CodedError(
        'QUERY_TOO_LARGE',
        `the query needed ${observedMemory(message)}, the limit is ${limits.memoryBytes} bytes of memory (STROBE_QUERY_MEMORY); take a shorter range or fewer series`,
        { statement: statement.name, limitBytes: limits.memoryBytes, observed: observedMemory(message) },
        cause,
      )
    case '396':
      return new CodedError(
        'QUERY_TOO_LARGE',
        `the query answers with more than ${limits.rows} rows (STROBE_QUERY_ROWS); take a shorter range or fewer series`,
        { statement: statement.name, limitRows: limits.rows, observed: `over ${limits.rows} rows` },
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
