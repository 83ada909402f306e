const TIME_STEPS: [number, string][] = [
  [1, 'ns'],
  [1e3, 'µs'],
  [1e6, 'ms'],
  [1e9, 's'],
  [60e9, 'min'],
  [3600e9, 'h'],
  [86400e9, 'd'],
]
const BYTE_STEPS: [number, string][] = [
  [1, 'B'],
  [2 ** 10, 'KiB'],
  [2 ** 20, 'MiB'],
  [2 ** 30, 'GiB'],
  [2 ** 40, 'TiB'],
  [2 ** 50, 'PiB'],
]
const COUNT_STEPS: [number, string][] = [
  [1, ''],
  [1e3, 'k'],
  [1e6, 'M'],
  [1e9, 'G'],
  [1e12, 'T'],
]

/**
 * A value as people read it, three significant digits: 28.6 s, 46.7 MiB, 3.11 k, 0.25 cores.
 * unit: as profiles write it (nanoseconds, microseconds, milliseconds, seconds, bytes, kilobytes, count),
 * 'cores', or one of these with '/s'. A unit that is not known follows the number.
 */
export function formatValue(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–'
  if (unit.endsWith('/s')) return `${formatValue(value, unit.slice(0, -2))}/s`
  const nanoseconds = { nanoseconds: 1, ns: 1, microseconds: 1e3, milliseconds: 1e6, seconds: 1e9 }[unit]
  if (nanoseconds !== undefined) return stepped(value * nanoseconds, TIME_STEPS)
  if (unit === 'bytes') return stepped(value, BYTE_STEPS)
  if (unit === 'kilobytes') return stepped(value * 1024, BYTE_STEPS)
  if (unit === 'count' || unit === 'objects' || unit === '') return stepped(value, COUNT_STEPS)
  if (unit === 'cores') return `${threeDigits(value)} ${threeDigits(value) === '1' ? 'core' : 'cores'}`
  return `${stepped(value, COUNT_STEPS)} ${unit}`.replace(/ +/g, ' ')
}

/** 0.4213 -> 42.1 %. */
export function formatShare(share: number): string {
  return Number.isFinite(share) ? `${threeDigits(share * 100)} %` : '–'
}

function stepped(value: number, steps: [number, string][]): string {
  // Rounding comes before the choice of step: 999.9 ms is 1 s.
  const size = Math.abs(Number(value.toPrecision(3)))
  let chosen = steps[0]!
  for (const step of steps) if (size >= step[0] && size !== 0) chosen = step
  return `${threeDigits(value / chosen[0])} ${chosen[1]}`.trimEnd()
}

function threeDigits(value: number): string {
  const rounded = Number(value.toPrecision(3))
  // Below a thousandth, digits would only be noise in a column of numbers.
  if (rounded !== 0 && Math.abs(rounded) < 0.001) return rounded < 0 ? '>-0.001' : '<0.001'
  return String(rounded === 0 ? 0 : rounded)
}
