/** Sizes and durations as people write them: one reading for flags, variables and settings of tenants. */

export type QuantityType = 'integer' | 'duration' | 'bytes'

export const quantityHelp: Record<QuantityType, string> = {
  integer: 'a whole number',
  duration: 'a duration such as 500ms, 30s, 5m or 1h',
  bytes: 'a size such as 512KiB, 64MiB or 1GiB',
}

const multipliers: Record<'duration' | 'bytes', Record<string, number>> = {
  duration: { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  bytes: {
    '': 1,
    b: 1,
    kb: 1000,
    mb: 1000 ** 2,
    gb: 1000 ** 3,
    kib: 1024,
    mib: 1024 ** 2,
    gib: 1024 ** 3,
    k: 1024,
    m: 1024 ** 2,
    g: 1024 ** 3,
  },
}

/** Bytes, milliseconds or a count; null when the text is none. */
export function readQuantity(text: string, type: QuantityType): number | null {
  if (type === 'integer') return /^\d{1,15}$/.test(text) ? Number(text) : null
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)$/i.exec(text)
  const factor = match && multipliers[type][match[2]!.toLowerCase()]
  return match && factor !== undefined && factor !== null ? Math.round(Number(match[1]) * factor) : null
}

/** The same number for people; readQuantity reads it back. */
export function formatQuantity(value: number, type: QuantityType): string {
  const units: Record<QuantityType, [number, string][]> = {
    integer: [],
    bytes: [
      [2 ** 30, 'GiB'],
      [2 ** 20, 'MiB'],
      [2 ** 10, 'KiB'],
    ],
    duration: [
      [86_400_000, 'd'],
      [3_600_000, 'h'],
      [60_000, 'm'],
      [1000, 's'],
    ],
  }
  for (const [size, unit] of units[type])
    if (value >= size && value % size === 0) return `${value / size}${unit}`
  return type === 'duration' && value > 0 ? `${value}ms` : String(value)
}
