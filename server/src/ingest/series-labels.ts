import {
  checkLabels,
  type Label,
  mapLabelName,
  mapLabelNames,
  murmur3x86x128,
  StrobeError,
} from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { IngestLimits } from '../limits.ts'

export interface SeriesLabels {
  /** Sorted by name; names are unique and can stand in a selector; values are not empty. */
  labels: Label[]
  /** Labels left out because the same name came before. */
  duplicates: number
  /** Names that were longer than the limit. */
  shortened: number
}

// '_' and 8 hex digits, which mapLabelNames too adds where two names would be one.
const suffixBytes = 9

/**
 * The labels of a series as stored. A label without a value is no label. No name loses a profile: one that is
 * too long, once mapped, is cut and ends in `_` and 8 hex digits of the hash of the whole.
 * Throws LABEL_INVALID without a service_name, LABELS_TOO_MANY, LABEL_TOO_LONG for a value.
 */
export function readSeriesLabels(given: readonly Label[], limits: IngestLimits): SeriesLabels {
  let shortened = 0
  const short = given
    .filter(label => label.value !== '')
    .map(label => {
      const name = shortenName(label.name, limits.maxLabelNameBytes)
      if (name === label.name) return label
      shortened++
      return { ...label, name }
    })
  const { labels, duplicates } = mapLabelNames(short)
  try {
    checkLabels(labels, {
      maxLabels: limits.maxLabels,
      maxNameBytes: limits.maxLabelNameBytes + suffixBytes,
      maxValueBytes: limits.maxLabelValueBytes,
    })
  } catch (error) {
    if (!(error instanceof StrobeError)) throw error
    const isCount = error.details.field === 'labels'
    const { field, value, limit } = error.details as { field: string; value: number; limit: number }
    throw new CodedError(
      isCount ? 'LABELS_TOO_MANY' : 'LABEL_TOO_LONG',
      error.message.replace(/ \([^)]*\)$/, ''),
      {
        limitName: isCount ? 'series_labels' : 'label_value_bytes',
        limit,
        observed: value,
        ...(isCount ? {} : { label: field }),
      },
      { cause: error },
    )
  }
  if (!labels.some(label => label.name === 'service_name')) {
    throw new CodedError('LABEL_INVALID', 'a series has no service_name; every series needs one', {
      label: 'service_name',
    })
  }
  return { labels, duplicates, shortened }
}

/** A name within the limit stays as it is, mapped or not. */
function shortenName(name: string, maxBytes: number): string {
  const mapped = mapLabelName(name)
  if (mapped.length <= maxBytes) return name
  const [hash] = murmur3x86x128(Buffer.from(name), 0)
  return `${mapped.slice(0, maxBytes - suffixBytes)}_${hash.toString(16).padStart(8, '0')}`
}
