/** Everything a page shows is in its URL. Parameters at their default are left out. */

export interface ServicesSearch {
  from?: string
  to?: string
  /** Part of a service's name. */
  find?: string
  /** Column, with '-' in front when descending. */
  sort?: string
}

export interface ServiceSearch {
  /** Full profile type id. */
  type?: string
  /** Vector selector without the service: {service_version="1.2"}. */
  q?: string
  from?: string
  to?: string
  /** Label that splits the time series. */
  by?: string
  /** The tab of narrow screens. */
  view?: 'table' | 'flame'
  /** flame: root at the bottom; icicle, the default: at the top. */
  shape?: 'flame' | 'icicle'
  find?: string
  /** Path hash of the zoomed frame. */
  at?: string
  sort?: string
}

export interface DiffSearch {
  type?: string
  /** The sides: selector without the service, and range. */
  qa?: string
  fa?: string
  ta?: string
  qb?: string
  fb?: string
  tb?: string
  /** share is the default. */
  normalize?: 'share' | 'rate'
  /** Which changes the table lists; all is the default. */
  show?: string
  view?: 'table' | 'flame'
  shape?: 'flame' | 'icicle'
  find?: string
  at?: string
}

type Parameters = Record<string, unknown>

function pick<Name extends string>(parameters: Parameters, names: Name[]): Partial<Record<Name, string>> {
  const picked: Partial<Record<Name, string>> = {}
  for (const name of names) {
    const value = parameters[name]
    if (typeof value === 'string' && value !== '') picked[name] = value
  }
  return picked
}

export function readServicesSearch(parameters: Parameters): ServicesSearch {
  return pick(parameters, ['from', 'to', 'find', 'sort'])
}

export function readServiceSearch(parameters: Parameters): ServiceSearch {
  const { view, shape, ...rest } = pick(parameters, [
    'type',
    'q',
    'from',
    'to',
    'by',
    'view',
    'shape',
    'find',
    'at',
    'sort',
  ])
  return {
    ...rest,
    ...(view === 'table' || view === 'flame' ? { view } : {}),
    ...(shape === 'flame' || shape === 'icicle' ? { shape } : {}),
  }
}

export function readDiffSearch(parameters: Parameters): DiffSearch {
  const names = [
    'type',
    'qa',
    'fa',
    'ta',
    'qb',
    'fb',
    'tb',
    'normalize',
    'show',
    'view',
    'shape',
    'find',
    'at',
  ]
  const { normalize, view, shape, ...rest } = pick(parameters, names)
  return {
    ...rest,
    ...(normalize === 'rate' ? { normalize } : {}),
    ...(view === 'table' || view === 'flame' ? { view } : {}),
    ...(shape === 'flame' || shape === 'icicle' ? { shape } : {}),
  }
}

/** Plain strings both ways: the router's own codec writes numbers and quotes as JSON. */
export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text))
}

export function formatSearch(parameters: Parameters): string {
  const text = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (typeof value === 'string' && value !== '') text.set(name, value)
  }
  const joined = text.toString()
  return joined === '' ? '' : `?${joined}`
}

export interface Sort {
  column: string
  direction: 'ascending' | 'descending'
}

export function parseSort(text: string | undefined, fallback: Sort): Sort {
  if (!text) return fallback
  return text.startsWith('-')
    ? { column: text.slice(1), direction: 'descending' }
    : { column: text, direction: 'ascending' }
}

export function formatSort(sort: Sort): string {
  return `${sort.direction === 'descending' ? '-' : ''}${sort.column}`
}
