import { profileError } from './errors.ts'

const UNIT_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/**
 * Reads a time: `now`, `now-15m` (ms s m h d w; `+` too), RFC 3339 with an offset, or unix milliseconds.
 * Returns unix milliseconds. Throws BAD_TIME.
 */
export function parseTime(text: string | number, nowMs: number): number {
  const source = String(text).trim()
  const relative = /^now(?:\s*([+-])\s*(\d{1,12})(ms|[smhdw]))?$/.exec(source)
  if (relative !== null) {
    const [, sign, amount, unit] = relative
    if (sign === undefined) return nowMs
    const distance = Number(amount) * UNIT_MS[unit!]!
    return sign === '-' ? nowMs - distance : nowMs + distance
  }
  if (/^-?\d{1,16}(\.\d+)?$/.test(source)) return Math.trunc(Number(source))
  if (/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(source)) {
    const time = Date.parse(source.toUpperCase().replace(' ', 'T'))
    if (!Number.isNaN(time)) return time
  }
  throw profileError(
    'BAD_TIME',
    `"${source.slice(0, 100)}" is not a time; write now, now-15m, 2026-01-31T12:00:00Z or unix milliseconds`,
    { time: source.slice(0, 100) },
  )
}
