import type { SeriesAnswer } from '../../api/types.ts'
import { compareText } from '../../components/data-table.ts'
import type { DiffSearch } from '../../state/search-params.ts'
import { formatSelector } from '../../state/selector.ts'
import { resolveRange } from '../../state/time-range.ts'

export interface Side {
  /** Selector without the service. */
  filter: string
  from: string
  to: string
}

export interface Sides {
  a: Side
  b: Side
}

const dayMs = 86_400_000

/** B is the last hour unless the URL says otherwise, A the time of the same length before it. */
export function readSides(search: DiffSearch, nowMs: number): Sides {
  const b = { filter: search.qb ?? '', from: search.fb ?? 'now-1h', to: search.tb ?? 'now' }
  if (search.fa !== undefined && search.ta !== undefined)
    return { a: { filter: search.qa ?? '', from: search.fa, to: search.ta }, b }
  return { a: { ...before(b, nowMs), filter: search.qa ?? b.filter }, b }
}

export function writeSides({ a, b }: Sides): DiffSearch {
  return { qa: a.filter, fa: a.from, ta: a.to, qb: b.filter, fb: b.from, tb: b.to }
}

/** A side whose range is another one's, earlier by its own length or by so many days. */
function before(side: Side, nowMs: number, days = 0): Side {
  const { from, to } = resolveRange(side.from, side.to, nowMs)
  const backMs = days > 0 ? days * dayMs : to - from
  return { ...side, from: String(from - backMs), to: String(to - backMs) }
}

export const presets = [
  { id: 'before', text: 'The time just before B' },
  { id: 'yesterday', text: 'Same time yesterday' },
  { id: 'week', text: 'Same time last week' },
  { id: 'version', text: 'Previous version against newest' },
] as const

export type PresetId = (typeof presets)[number]['id']

/** A change of version: when the newest one was first seen, and whether the one before still ran then. */
export interface VersionChange {
  previous: string
  newest: string
  atMs: number
  /** The last time that both reported; 0 when they never did together. */
  togetherUntilMs: number
}

/** From the service's time series by service_version; null with fewer than two versions. */
export function findVersionChange({ series, stepMs }: SeriesAnswer): VersionChange | null {
  const versions = series
    .map(({ labels, points }) => {
      const seen = points.flatMap(([ms, value]) => (value === null ? [] : [ms]))
      return { version: labels.service_version ?? '', first: seen[0] ?? 0, last: (seen.at(-1) ?? 0) + stepMs }
    })
    .filter(({ version, first }) => version !== '' && first > 0)
    .sort((x, y) => x.first - y.first || compareText(x.version, y.version))
  const [previous, newest] = versions.slice(-2)
  if (!previous || !newest) return null
  const togetherUntilMs = Math.min(previous.last, newest.last)
  return {
    previous: previous.version,
    newest: newest.version,
    atMs: newest.first,
    // One step may hold both because the change fell inside it.
    togetherUntilMs: togetherUntilMs - newest.first > 2 * stepMs ? togetherUntilMs : 0,
  }
}

/**
 * change: for the preset of versions, null where there is none. Versions that ran side by side are compared
 * over that time, since load and hour of the day are then the same for both; else before and after.
 */
export function applyPreset(id: PresetId, { b }: Sides, change: VersionChange | null, nowMs: number): Sides {
  switch (id) {
    case 'before':
      return { a: before(b, nowMs), b }
    case 'yesterday':
      return { a: before(b, nowMs, 1), b }
    case 'week':
      return { a: before(b, nowMs, 7), b }
    case 'version': {
      if (!change) return { a: before(b, nowMs), b }
      const { previous, newest, atMs, togetherUntilMs } = change
      const lengthMs = Math.min(dayMs, nowMs - atMs)
      const side = (version: string, from: number, to: number): Side => ({
        filter: formatSelector([{ name: 'service_version', op: '=', value: version }]),
        from: String(from),
        to: String(to),
      })
      return togetherUntilMs > 0
        ? { a: side(previous, atMs, togetherUntilMs), b: side(newest, atMs, togetherUntilMs) }
        : { a: side(previous, atMs - lengthMs, atMs), b: side(newest, atMs, atMs + lengthMs) }
    }
  }
}
