import { checkLabels, type Label, mapLabelNames, StrobeError } from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { IngestLimits } from '../limits.ts'

export interface SeriesLabels {
  /** Sorted by name; names are unique and can stand in a selector; values are not empty. */
  labels: Label[]
  /** Labels left out because the same name came before. */
  duplicates: number
}

/**
 * The labels of a series as stored. A label without a value is no label.
 * Throws LABEL_INVALID without a service_name, LABELS_TOO_MANY, LABEL_TOO_LONG.
 */
export function readSeriesLabels(given: readonly Label[], limits: IngestLimits): SeriesLabels {
  const { labels, duplicates } = mapLabelNames(given.filter(label => label.value !== ''))
  try {
    checkLabels(labels, {
      maxLabels: limits.maxLabels,
      maxNameBytes: limits.maxLabelNameBytes,
      maxValueBytes: limits.maxLabelValueBytes,
    })
  } catch (error) {
    if (!(error instanceof StrobeError)) throw error
    const code = error.details.field === 'labels' ? 'LABELS_TOO_MANY' : 'LABEL_TOO_LONG'
    throw new CodedError(code, error.message, error.details, { cause: error })
  }
  if (!labels.some(label => label.name === 'service_name')) {
    throw new CodedError('LABEL_INVALID', 'a series has no service_name; every series needs one', {
      label: 'service_name',
    })
  }
  return { labels, duplicates }
}
