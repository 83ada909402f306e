import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { type Connection, Lane } from './database.ts'
import { readCountedRows, withProgressFormat } from './progress-rows.ts'
import {
  isBinary,
  isBlockwise,
  quoteIdentifier,
  quoteString,
  readBinaryInsert,
  readStatement,
} from './statement.ts'

export interface EngineHttpSettings {
  queryConnections: number
  insertConnections: number
  maxQueued: number
  /** Folder for the bodies of binary inserts while they are read. */
  temporaryDir: string
}

export interface EngineHttp {
  server: Server
  /** Serves on `host:port` too, to who knows the password of the user `strobe`. Resolves with the port. */
  listen(address: string, password: string): Promise<number>
  /** Lets running statements end within graceMs, then stops them. */
  close(graceMs: number): Promise<void>
}

// Parameters of ClickHouse's HTTP interface that are not settings.
const reserved = new Set(
  'query query_id database default_format user password session_id session_timeout session_check role quota_key stacktrace compress decompress client_protocol_version buffer_size wait_end_of_query close_session enable_http_compression http_zlib_compression_level send_progress_in_http_headers http_headers_progress_interval_ms'.split(
    ' ',
  ),
)

// A statement that is text must fit a JavaScript string; binary inserts do not pass through one.
const maxTextBytes = 256 * 2 ** 20

// One block per insert, in file order, so that a token's retry meets the same blocks.
const fileInsertSettings =
  "max_threads=1, max_insert_threads=1, max_block_size=1048576, min_insert_block_size_rows=1000000000, min_insert_block_size_bytes=0, deduplicate_insert_select='enable_even_for_bad_queries'"

interface Request {
  sql: string
  defaultFormat: string
  database: string
  /** wait_end_of_query: the answer comes at the end, with what it cost in its headers. */
  isWhole: boolean
  settings: [name: string, value: string][]
  parameters: [name: string, value: string][]
}

/** Serves ClickHouse's HTTP protocol over connections of the embedded engine. */
export function createEngineHttp(open: () => Connection, settings: EngineHttpSettings): EngineHttp {
  const lane = (count: number) => new Lane(Array.from({ length: count }, open), settings.maxQueued)
  const queries = lane(settings.queryConnections)
  const inserts = lane(settings.insertConnections)
  // KILL QUERY must come from a connection that is not busy with the statement it ends.
  const control = lane(1)
  const markers = new Set<string>()
  // What binary inserts need to know of a table: asking again for each would be a second statement.
  const columnsOf = new Map<string, Column[]>()

  async function kill(marker: string): Promise<void> {
    const sql = `KILL QUERY WHERE query LIKE '%${marker}%' AND query NOT LIKE 'KILL%' ASYNC`
    await control.use(
      connection => connection.run(sql, 'Null').catch(() => new Uint8Array()),
      () => true,
    )
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://engine')
    if (url.pathname === '/ping') {
      response.setHeader('content-type', 'text/plain')
      response.end('Ok.\n')
      return
    }
    const parsed = readRequest(url)
    const isStatementInUrl = parsed.sql !== ''
    const fromUrl = readStatement(parsed.sql)
    let bodyFile = ''
    if (isStatementInUrl && fromUrl.kind === 'insert' && isBinary(fromUrl.format)) {
      bodyFile = await storeBody(request, settings.temporaryDir)
    } else {
      const body = await readBody(request)
      parsed.sql = isStatementInUrl && body !== '' ? `${parsed.sql}\n${body}` : parsed.sql + body
    }
    const marker = `strobe:${randomBytes(9).toString('base64url')}`
    let isOpen = true
    let isRunning = false
    const statement = fromUrl.kind === 'insert' ? fromUrl : readStatement(parsed.sql)
    response.once('close', () => {
      isOpen = false
      // As ClickHouse does with cancel_http_readonly_queries_on_client_close: a write runs to its end.
      if (!response.writableFinished && isRunning && statement.kind === 'read') void kill(marker)
    })
    markers.add(marker)
    try {
      // It may change a table.
      if (statement.kind === 'other') columnsOf.clear()
      await (statement.kind === 'insert' ? inserts : queries).use(
        async connection => {
          isRunning = true
          try {
            await withSettings(connection, parsed, async () => {
              if (bodyFile !== '') {
                await runFileInsert(connection, parsed, bodyFile, marker, columnsOf)
                finish(response, new Uint8Array(), '')
                return
              }
              const sql = `/* ${marker} */ ${parsed.sql}`
              const format = statement.kind === 'insert' ? 'Null' : statement.format || parsed.defaultFormat
              const counted = statement.kind === 'read' && parsed.isWhole ? withProgressFormat(sql) : null
              if (counted !== null) {
                const answer = readCountedRows(await connection.run(counted, format))
                response.setHeader(
                  'x-clickhouse-summary',
                  JSON.stringify({
                    read_rows: answer.readRows,
                    read_bytes: answer.readBytes,
                    written_rows: '0',
                    written_bytes: '0',
                    total_rows_to_read: answer.readRows,
                    result_rows: String(answer.resultRows),
                    elapsed_ns: answer.elapsedNs,
                  }),
                )
                finish(response, answer.rows, format)
              } else if (statement.kind === 'read' && isBlockwise(format)) {
                await streamAnswer(connection, sql, format, response)
              } else {
                finish(response, await connection.run(sql, format), format)
              }
            })
          } finally {
            isRunning = false
          }
        },
        () => isOpen || statement.kind !== 'read',
      )
    } finally {
      markers.delete(marker)
      if (statement.kind === 'other') columnsOf.clear()
      if (bodyFile !== '') await rm(bodyFile, { force: true })
    }
  }

  const servers: Server[] = []
  const serve = (isAllowed: (request: IncomingMessage) => boolean): Server => {
    const server = createServer((request, response) => {
      const work = isAllowed(request) ? answer(request, response) : Promise.reject(authenticationFailed())
      work.catch((error: unknown) => fail(response, error))
    })
    server.keepAliveTimeout = 60_000
    server.requestTimeout = 0
    servers.push(server)
    return server
  }
  const server = serve(() => true)

  return {
    server,
    listen(address, password) {
      const { host, port } = splitAddress(address)
      const open = serve(request => hasPassword(request, password))
      return new Promise((resolve, reject) => {
        open.once('error', reject)
        open.listen(port, host, () => resolve((open.address() as AddressInfo).port))
      })
    },
    async close(graceMs) {
      const closed = Promise.all(
        servers.map(each => new Promise<void>(resolve => each.close(() => resolve()))),
      )
      for (const each of servers) each.closeIdleConnections()
      const timer = setTimeout(() => {
        for (const marker of markers) void kill(marker)
        for (const each of servers) each.closeAllConnections()
      }, graceMs)
      await closed
      clearTimeout(timer)
      for (const each of [queries, inserts, control]) each.close()
    },
  }
}

const userName = 'strobe'

function authenticationFailed(): Error {
  return new Error(
    `Code: 516. DB::Exception: ${userName}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)`,
  )
}

/** As clients of ClickHouse send it: Authorization: Basic, or headers of its own. */
function hasPassword(request: IncomingMessage, password: string): boolean {
  const basic = /^Basic +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const [user, given] = basic
    ? splitOnce(Buffer.from(basic, 'base64').toString(), ':')
    : [String(request.headers['x-clickhouse-user'] ?? ''), String(request.headers['x-clickhouse-key'] ?? '')]
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return user === userName && password !== '' && timingSafeEqual(digest(given), digest(password))
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}

function readRequest(url: URL): Request {
  const request: Request = {
    sql: url.searchParams.get('query')?.trim() ?? '',
    defaultFormat: url.searchParams.get('default_format') ?? 'TabSeparated',
    database: url.searchParams.get('database') ?? '',
    isWhole: url.searchParams.get('wait_end_of_query') === '1',
    settings: [],
    parameters: [],
  }
  for (const [name, value] of url.searchParams) {
    if (name.startsWith('param_')) request.parameters.push([name, value])
    else if (!reserved.has(name)) request.settings.push([name, value])
  }
  return request
}

function checkName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name
  throw new Error(`Code: 115. DB::Exception: Unknown setting ${quoteString(name)}. (UNKNOWN_SETTING)`)
}

/** SET sticks to a connection, and a deduplication token that sticks drops the next insert: undone in any case. */
async function withSettings(
  connection: Connection,
  request: Request,
  work: () => Promise<void>,
): Promise<void> {
  const names = request.settings.map(([name]) => checkName(name))
  const isForeign = request.database !== '' && request.database !== 'default'
  try {
    if (isForeign) await connection.run(`USE ${quoteIdentifier(request.database)}`, 'Null')
    const set = [...request.settings, ...request.parameters].map(
      ([name, value]) => `${checkName(name)} = ${quoteString(value)}`,
    )
    if (set.length > 0) await connection.run(`SET ${set.join(', ')}`, 'Null')
    await work()
  } finally {
    // A parameter has no default to go back to.
    if (request.parameters.length > 0 || isForeign) connection.replace()
    else if (names.length > 0) {
      await connection
        .run(`SET ${names.map(name => `${name} = DEFAULT`).join(', ')}`, 'Null')
        .catch(() => connection.replace())
    }
  }
}

interface Column {
  name: string
  type: string
}

/** The engine's text parser cuts inline binary data, its file function does not. */
async function runFileInsert(
  connection: Connection,
  { sql, database }: Request,
  file: string,
  marker: string,
  columnsOf: Map<string, Column[]>,
): Promise<void> {
  const insert = readBinaryInsert(sql)
  if (!insert) {
    throw new Error(
      'Code: 62. DB::Exception: Syntax error: a binary insert must read INSERT INTO table [(columns)] [SETTINGS ...] FORMAT name. (SYNTAX_ERROR)',
    )
  }
  const key = `${database}\0${insert.table}`
  let columns = columnsOf.get(key)
  if (columns === undefined) {
    columns = await describe(connection, insert.table)
    columnsOf.set(key, columns)
  }
  const wanted = insert.columns
    ? insert.columns.split(',').map(name => name.trim().replace(/^[`"]|[`"]$/g, ''))
    : columns.map(({ name }) => name)
  const types = new Map(columns.map(({ name, type }) => [name, type]))
  const structure = wanted.map(name => {
    const type = types.get(name)
    if (type === undefined) {
      throw new Error(
        `Code: 16. DB::Exception: No such column ${name} in table ${insert.table}. (NO_SUCH_COLUMN_IN_TABLE)`,
      )
    }
    return `${quoteIdentifier(name)} ${type}`
  })
  const settings = insert.settings ? `${insert.settings}, ${fileInsertSettings}` : fileInsertSettings
  await connection.run(
    `/* ${marker} */ INSERT INTO ${insert.table} (${wanted.map(quoteIdentifier).join(', ')}) SETTINGS ${settings} ` +
      `SELECT * FROM file(${quoteString(file)}, ${quoteString(insert.format)}, ${quoteString(structure.join(', '))})`,
    'Null',
  )
}

/** The columns that an insert may name. */
async function describe(connection: Connection, table: string): Promise<Column[]> {
  const described = await connection.run(`DESCRIBE TABLE ${table}`, 'JSONCompactEachRow')
  return Buffer.from(described)
    .toString()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as [name: string, type: string, defaultKind: string])
    .filter(([, , kind]) => kind === '' || kind === 'DEFAULT')
    .map(([name, type]) => ({ name, type }))
}

function setAnswerHeaders(response: ServerResponse, format: string): void {
  const type = /^JSON(?:Compact)?(?:Strings)?$/.test(format)
    ? 'application/json; charset=UTF-8'
    : /JSON/.test(format)
      ? 'application/x-ndjson; charset=UTF-8'
      : isBinary(format)
        ? 'application/octet-stream'
        : 'text/plain; charset=UTF-8'
  response.setHeader('content-type', type)
  response.setHeader('x-clickhouse-format', format || 'TabSeparated')
  response.setHeader('x-clickhouse-timezone', 'UTC')
}

function finish(response: ServerResponse, body: Uint8Array, format: string): void {
  if (response.destroyed) return
  setAnswerHeaders(response, format)
  response.setHeader('content-length', body.byteLength)
  response.end(body)
}

/** The first block decides between an answer and an error; a later error breaks the connection, never a short answer. */
async function streamAnswer(
  connection: Connection,
  sql: string,
  format: string,
  response: ServerResponse,
): Promise<void> {
  let hasStarted = false
  for await (const chunk of connection.stream(sql, format)) {
    if (response.destroyed) return
    if (!hasStarted) setAnswerHeaders(response, format)
    hasStarted = true
    if (!response.write(chunk)) {
      await new Promise<void>(resolve => {
        const done = () => {
          response.off('drain', done)
          response.off('close', done)
          resolve()
        }
        response.once('drain', done)
        response.once('close', done)
      })
    }
  }
  if (response.destroyed) return
  if (!hasStarted) setAnswerHeaders(response, format)
  response.end()
}

async function readBody(request: IncomingMessage): Promise<string> {
  const source = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of source) {
    length += (chunk as Buffer).length
    if (length > maxTextBytes) {
      throw new Error(
        `Code: 62. DB::Exception: Max query size exceeded: the statement has over ${maxTextBytes} bytes. (SYNTAX_ERROR)`,
      )
    }
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}

async function storeBody(request: IncomingMessage, folder: string): Promise<string> {
  const file = join(folder, `insert-${randomBytes(12).toString('hex')}`)
  const target = createWriteStream(file, { mode: 0o600 })
  try {
    if (request.headers['content-encoding'] === 'gzip') await pipeline(request, createGunzip(), target)
    else await pipeline(request, target)
  } catch (error) {
    await rm(file, { force: true })
    throw error
  }
  return file
}

const clientErrors = new Set([
  6, 26, 27, 36, 38, 41, 42, 43, 44, 46, 47, 53, 62, 72, 115, 117, 130, 349, 386, 456, 457,
])

function httpStatusOf(code: number): number {
  if (code === 60 || code === 81 || code === 218) return 404
  if (code === 241 || code === 202) return 503
  if (code === 159) return 408
  if (code === 516) return 401
  return clientErrors.has(code) ? 400 : 500
}

function fail(response: ServerResponse, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error)
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const code = Number(/Code: (\d+)/.exec(text)?.[1] ?? 1002)
  response.statusCode = httpStatusOf(code)
  response.setHeader('content-type', 'text/plain; charset=UTF-8')
  response.setHeader('x-clickhouse-exception-code', String(code))
  response.end(
    `${/Code: \d+/.test(text) ? text : `Code: ${code}. DB::Exception: ${text} (UNKNOWN_EXCEPTION)`}\n`,
  )
}
