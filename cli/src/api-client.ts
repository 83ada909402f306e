import type { Command } from 'commander'
import { CliError, type CommandContext, exitCodes } from './command.ts'
import { readToken } from './token.ts'

export interface ApiClient {
  /** The answer of GET /api/v1/PATH. Throws CliError. */
  get<T>(path: string, parameters?: Record<string, string | number | undefined>): Promise<T>
  getBytes(path: string, parameters: Record<string, string | number | undefined>): Promise<Buffer>
  post<T>(path: string, parameters: Record<string, string>, body: Uint8Array<ArrayBuffer>): Promise<T>
  /** A request that changes something and has no body. */
  send<T>(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    parameters: Record<string, string | undefined>,
  ): Promise<T>
}

/** What addServerOptions reads. */
export interface ServerOptions {
  server: string
  json?: boolean
  tokenFile?: string
}

/** --server, --token-file and --json, for every command that asks a server. */
export function addServerOptions(command: Command, context: CommandContext): Command {
  return command
    .option(
      '--server <url>',
      'the server to ask (STROBE_URL)',
      context.env.STROBE_URL || 'http://localhost:4040',
    )
    .option(
      '--token-file <file>',
      'file with the key to send (STROBE_TOKEN_FILE; STROBE_TOKEN is the key itself)',
    )
    .option('--json', 'print the answer as JSON')
}

/** --from and --to. */
export function addRangeOptions(command: Command): Command {
  return command
    .option('--from <time>', 'start: now-15m, RFC 3339 or unix ms', 'now-1h')
    .option('--to <time>', 'end', 'now')
}

/** What of the stacks counts, and by what it is summed; undefined is the server's default. */
export interface ViewOptions {
  group?: string
  focus?: string
  hide?: string
}

/** --group, --focus and --hide. */
export function addViewOptions(command: Command): Command {
  return command
    .option('--group <by>', 'sum by function, file, line, module, package or label:NAME')
    .option('--focus <regex>', 'only stacks with a function that matches (RE2), each counted once')
    .option('--hide <regex>', 'leave matching functions out; their weight goes to the callers')
}

/** The type to ask for; undefined when the selector has a metric name, which says it. */
export function typeOf(selector: string, type: string | undefined): string | undefined {
  return type ?? (/^\s*(\{|$)/.test(selector) ? 'cpu' : undefined)
}

/** The same as parameters of a request. */
export function viewParameters({ group, focus, hide }: ViewOptions): Record<string, string | undefined> {
  return { group, focus, hide }
}

export function createApiClient(options: ServerOptions, context: Pick<CommandContext, 'env'>): ApiClient {
  const base = readBase(options.server)
  const token = readToken(base, options.tokenFile, context.env)
  async function call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    parameters: Record<string, string | number | undefined>,
    body?: Uint8Array<ArrayBuffer>,
  ): Promise<Response> {
    const url = new URL(`api/v1/${path}`, base)
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) url.searchParams.set(name, String(value))
    let response: Response
    try {
      response = await fetch(url, {
        method,
        headers: {
          ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
          ...(method === 'GET'
            ? {}
            : { 'content-type': body ? 'application/octet-stream' : 'application/json' }),
        },
        ...(body ? { body } : {}),
      })
    } catch (error) {
      const cause = (error as { cause?: { code?: string; message?: string } }).cause
      throw new CliError(
        `no server answers at ${displayUrl(base.href)} (${cause?.code ?? cause?.message ?? (error as Error).message}); start one with strobe up, or name another with --server`,
        exitCodes.unreachable,
        { cause: error },
      )
    }
    if (response.ok) return response
    const text = await response.text()
    let answer: { code?: string; message?: string } = {}
    try {
      answer = JSON.parse(text) as typeof answer
    } catch {
      answer = { message: text.slice(0, 300) }
    }
    throw new CliError(
      `${answer.code ?? `HTTP ${response.status}`}: ${answer.message ?? response.statusText}`,
      response.status === 503 ? exitCodes.unreachable : exitCodes.failure,
    )
  }
  return {
    get: async <T>(path: string, parameters = {}) =>
      (await (await call('GET', path, parameters)).json()) as T,
    getBytes: async (path, parameters) =>
      Buffer.from(await (await call('GET', path, parameters)).arrayBuffer()),
    post: async <T>(path: string, parameters: Record<string, string>, body: Uint8Array<ArrayBuffer>) =>
      (await (await call('POST', path, parameters, body)).json()) as T,
    send: async <T>(
      method: 'POST' | 'PUT' | 'DELETE',
      path: string,
      parameters: Record<string, string | undefined>,
    ) => (await (await call(method, path, parameters)).json()) as T,
  }
}

/** An address of this server as people write it. */
export function displayUrl(url: string): string {
  return url.replace('//127.0.0.1:', '//localhost:')
}

function readBase(server: string): URL {
  const text = /^[a-z]+:\/\//i.test(server) ? server : `http://${server}`
  try {
    const url = new URL(text.endsWith('/') ? text : `${text}/`)
    // RFC 6761: localhost is this machine, whether or not its /etc/hosts says so.
    if (url.hostname === 'localhost') url.hostname = '127.0.0.1'
    if (url.protocol === 'http:' || url.protocol === 'https:') return url
  } catch {
    // Said below.
  }
  throw new CliError(`--server ${server} is not an address such as http://localhost:4040`, exitCodes.usage)
}
