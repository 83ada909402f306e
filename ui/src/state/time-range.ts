import { parseTime } from '@strobe/profile'

/** Time ranges as the URL holds them: 'now', 'now-15m' or unix ms. */

export const presets = [
  { from: 'now-15m', label: 'Last 15 minutes' },
  { from: 'now-1h', label: 'Last hour' },
  { from: 'now-6h', label: 'Last 6 hours' },
  { from: 'now-24h', label: 'Last 24 hours' },
  { from: 'now-7d', label: 'Last 7 days' },
  { from: 'now-14d', label: 'Last 14 days' },
]

function resolveMoment(moment: string, nowMs: number): number | null {
  try {
    return parseTime(moment, nowMs)
  } catch {
    return null
  }
}

/** The range in unix ms; falls back to the last hour when from or to cannot be read or are reversed. */
export function resolveRange(from: string, to: string, nowMs: number): { from: number; to: number } {
  const start = resolveMoment(from, nowMs)
  const end = resolveMoment(to, nowMs)
  return start === null || end === null || start >= end
    ? { from: nowMs - 36e5, to: nowMs }
    : { from: start, to: end }
}

export function describeRange(from: string, to: string): string {
  const preset = to === 'now' ? presets.find(one => one.from === from) : undefined
  if (preset) return preset.label
  const start = resolveMoment(from, Date.now())
  const end = resolveMoment(to, Date.now())
  if (start === null || end === null) return 'Last hour'
  const sameDay = new Date(start).toDateString() === new Date(end).toDateString()
  const time = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const
  const day = { day: 'numeric', month: 'short' } as const
  const first = new Date(start).toLocaleString('en-GB', { ...day, ...time })
  return `${first} – ${new Date(end).toLocaleString('en-GB', sameDay ? time : { ...day, ...time })}`
}
