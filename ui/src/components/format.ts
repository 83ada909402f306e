const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const countUnits = ['', 'k', 'M', 'G', 'T']

/** Three significant digits, never in exponent form: 0.0123, 1.23, 12.3, 1,230. */
export function formatNumber(value: number): string {
  if (value === 0) return '0'
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** With trailing zeros, for columns: 6.20, 990. */
export function threeDigits(value: number): string {
  if (value === 0) return '0'
  return value.toLocaleString('en', { maximumSignificantDigits: 3, minimumSignificantDigits: 3 })
}

function scale(value: number, step: number, units: string[], space: string): string {
  let index = 0
  let scaled = value
  while (Math.abs(scaled) >= step && index < units.length - 1) {
    scaled /= step
    index++
  }
  const unit = units[index] ?? ''
  return `${index === 0 ? formatNumber(scaled) : threeDigits(scaled)}${unit === '' ? '' : space}${unit}`
}

/** A weight in the words of its unit: 1.2 s of nanoseconds, 3.4 MiB of bytes, 12.3k of anything else. */
export function formatWeight(value: number, unit: string): string {
  if (unit === 'nanoseconds') return formatSeconds(value / 1e9)
  if (unit === 'bytes') return scale(value, 1024, byteUnits, ' ')
  return scale(value, 1000, countUnits, '')
}

export function formatSeconds(seconds: number): string {
  const size = Math.abs(seconds)
  if (size === 0) return '0'
  if (size < 1e-6) return `${threeDigits(seconds * 1e9)} ns`
  if (size < 1e-3) return `${threeDigits(seconds * 1e6)} µs`
  if (size < 1) return `${threeDigits(seconds * 1e3)} ms`
  if (size < 120) return `${threeDigits(seconds)} s`
  if (size < 7200) return `${threeDigits(seconds / 60)} min`
  return `${threeDigits(seconds / 3600)} h`
}

/** A rate on an axis: 'cores' stays a bare number, 'bytes' and counts are scaled. */
export function formatRate(value: number, unit: string): string {
  if (unit === 'bytes' || unit === 'bytes/s') {
    return scale(value, 1024, byteUnits, ' ') + (unit === 'bytes/s' ? '/s' : '')
  }
  return unit === 'cores' ? formatNumber(value) : scale(value, 1000, countUnits, '')
}

/** 12.3%, and '<0.01%' rather than a zero that is none. */
export function formatShare(share: number): string {
  // 0.6 - 0.5 is a little less than 0.1.
  const percent = Number((share * 100).toPrecision(12))
  if (percent === 0) return '0%'
  if (percent < 0.01) return '<0.01%'
  if (percent >= 99.95 && percent < 100.05) return '100%'
  return `${percent >= 10 ? percent.toFixed(1) : percent.toFixed(2)}%`
}

export function formatAgo(ms: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - ms) / 1000))
  if (seconds < 5) return 'just now'
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86_400)} d ago`
}

export function formatTime(ms: number): string {
  return new Date(ms).toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  })
}

export function countOf(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
