import { CodedError } from '../errors.ts'
import { formatQuantity } from '../quantity.ts'
import { type DecodeCounts, TIME_MISSING, TIME_OUTSIDE_WINDOW } from './batch.ts'
import type { IngestSettings } from './settings.ts'

export interface PlacedTime {
  timeMs: number
  /** Bits of batch.ts. */
  flags: number
  /** 0 unless re-timed. */
  originalTimeMs: number
}

// What DateTime64 holds.
const earliestMs = Date.UTC(1900, 0, 1)
const latestMs = Date.UTC(2299, 11, 31)

/**
 * Where a profile stands in time. A missing time (0n) becomes the time of receipt; one outside the accepted
 * window too, with the original kept, unless isTimeKept.
 * Throws TIME_OUT_OF_WINDOW, naming both times, when isTimeKept.
 */
export function placeTime(
  timeNanos: bigint,
  receivedAtMs: number,
  settings: Pick<IngestSettings, 'windowPastMs' | 'windowFutureMs'>,
  isTimeKept: boolean,
): PlacedTime {
  if (timeNanos === 0n) return { timeMs: receivedAtMs, flags: TIME_MISSING, originalTimeMs: 0 }
  const timeMs = Number(timeNanos / 1_000_000n)
  if (timeMs >= receivedAtMs - settings.windowPastMs && timeMs <= receivedAtMs + settings.windowFutureMs) {
    return { timeMs, flags: 0, originalTimeMs: 0 }
  }
  const originalTimeMs = Math.min(latestMs, Math.max(earliestMs, timeMs))
  if (isTimeKept) {
    const original = new Date(originalTimeMs).toISOString()
    const received = new Date(receivedAtMs).toISOString()
    throw new CodedError(
      'TIME_OUT_OF_WINDOW',
      `the profile starts at ${original} and was received at ${received}; accepted are times from ` +
        `${formatQuantity(settings.windowPastMs, 'duration')} before to ${formatQuantity(settings.windowFutureMs, 'duration')} after receipt`,
      {
        limitName: timeMs < receivedAtMs ? 'past_window' : 'future_window',
        limit: timeMs < receivedAtMs ? settings.windowPastMs : settings.windowFutureMs,
        observed: Math.abs(receivedAtMs - timeMs),
        time: original,
        received,
        windowPastMs: settings.windowPastMs,
        windowFutureMs: settings.windowFutureMs,
      },
    )
  }
  return { timeMs: receivedAtMs, flags: TIME_OUTSIDE_WINDOW, originalTimeMs }
}

export function countTime(placed: PlacedTime, { retimed }: DecodeCounts): void {
  if (placed.flags & TIME_MISSING) retimed.missing++
  if (placed.flags & TIME_OUTSIDE_WINDOW) retimed.outside_window++
}
