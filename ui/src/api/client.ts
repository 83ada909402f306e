import type {
  Agent,
  DiffAnswer,
  FlamegraphAnswer,
  FunctionsAnswer,
  ProfileType,
  SeriesAnswer,
  ServicesAnswer,
  Status,
} from './types.ts'

/** Unix ms or the API's relative form, such as 'now-1h'. */
export type Moment = number | string

export interface Range {
  from: Moment
  to: Moment
}

export interface Selection extends Range {
  type: string
  query: string
}

/** Two selections of one type. */
export interface DiffSelection {
  type: string
  queryA: string
  fromA: Moment
  toA: Moment
  queryB: string
  fromB: Moment
  toB: Moment
  normalize: 'share' | 'rate'
  nodes: number
}

/** An answer that is not 2xx, or no answer at all (status 0, code UNREACHABLE). */
export class ApiError extends Error {
  readonly code: string
  readonly status: number
  readonly details: unknown

  constructor(code: string, status: number, message: string, details?: unknown) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.status = status
    this.details = details
  }
}

export type Api = ReturnType<typeof createApi>

/**
 * The server's HTTP API. baseUrl ends in '/': the page's own base, so that a prefix in front of the server
 * needs no setting. readKey: the key to send, '' for none. Every call rejects with ApiError, or with AbortError once its signal fires.
 */
export function createApi(baseUrl: string, readKey: () => string = () => '') {
  const authorization = (): Record<string, string> => {
    const key = readKey()
    return key === '' ? {} : { authorization: `Bearer ${key}` }
  }

  async function call<T>(
    method: string,
    path: string,
    parameters: Record<string, Moment | undefined>,
    signal?: AbortSignal,
  ): Promise<T> {
    const url = new URL(`api/v1/${path}`, baseUrl)
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
    }
    let response: Response
    try {
      response = await fetch(url, {
        method,
        headers: {
          ...authorization(),
          ...(method === 'GET' ? {} : { 'content-type': 'application/json' }),
        },
        signal: signal ?? null,
      })
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
      throw new ApiError('UNREACHABLE', 0, `No answer from ${url.host}. Is the Strobe server still running?`)
    }
    const text = await response.text()
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      throw new ApiError(
        'NOT_JSON',
        response.status,
        `${url.pathname} answered ${response.status} with something that is not JSON; a proxy may stand in between.`,
      )
    }
    if (!response.ok) {
      const error = body as { code?: string; message?: string; details?: unknown }
      throw new ApiError(
        error.code ?? 'UNKNOWN',
        response.status,
        error.message ?? `${url.pathname} answered ${response.status}.`,
        error.details,
      )
    }
    return body as T
  }
  const get = <T>(path: string, parameters: Record<string, Moment | undefined>, signal?: AbortSignal) =>
    call<T>('GET', path, parameters, signal)

  return {
    services: (range: Range, signal?: AbortSignal) => get<ServicesAnswer>('services', { ...range }, signal),
    profileTypes: (query: string, range: Range, signal?: AbortSignal) =>
      get<{ types: ProfileType[] }>('profile-types', { query, ...range }, signal).then(
        answer => answer.types,
      ),
    labels: (query: string, range: Range, signal?: AbortSignal) =>
      get<{ labels: string[] }>('labels', { query, ...range }, signal).then(answer => answer.labels),
    labelValues: (name: string, query: string, range: Range, signal?: AbortSignal) =>
      get<{ values: string[] }>(
        `labels/${encodeURIComponent(name)}/values`,
        { query, ...range },
        signal,
      ).then(answer => answer.values),
    series: (selection: Selection & { by: string; points: number }, signal?: AbortSignal) =>
      get<SeriesAnswer>('series', { ...selection }, signal),
    flamegraph: (selection: Selection & { nodes: number }, signal?: AbortSignal) =>
      get<FlamegraphAnswer>('flamegraph', { ...selection }, signal),
    functions: (selection: Selection & { limit: number; sort: 'self' | 'total' }, signal?: AbortSignal) =>
      get<FunctionsAnswer>('functions', { ...selection }, signal),
    diff: (sides: DiffSelection, signal?: AbortSignal) => get<DiffAnswer>('diff', { ...sides }, signal),
    /** Where the browser can download the selected profile. */
    profileUrl: (selection: Selection, format: 'pprof' | 'folded' | 'speedscope') => {
      const url = new URL('api/v1/profile', baseUrl)
      for (const [name, value] of Object.entries({ ...selection, format })) {
        url.searchParams.set(name, String(value))
      }
      return url.href
    },
    /** What stands at such an address, for a browser that would not send the key along. */
    readFile: async (url: string): Promise<Blob> => {
      const response = await fetch(url, { headers: authorization() })
      if (response.ok) return response.blob()
      throw new ApiError('UNKNOWN', response.status, `The file was refused with ${response.status}.`)
    },
    agents: (signal?: AbortSignal) =>
      get<{ agents: Agent[] }>('agents', {}, signal).then(answer => answer.agents),
    status: (signal?: AbortSignal) => get<Status>('status', {}, signal),
    deleteDemoData: () => call<{ deleted: boolean }>('DELETE', 'demo-data', {}),
  }
}
