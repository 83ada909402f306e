import { groupId, type Label, seriesId, type ValueType } from '@strobe/profile'
import type { SeriesRow } from '../storage/batch-encoder.ts'
import type { DecodeSettings } from './batch.ts'
import { markType } from './mark-type.ts'
import { readSeriesLabels } from './series-labels.ts'

export interface KnownSeries {
  row: SeriesRow
  /** Labels left out because the same name came before. */
  duplicates: number
  /** Names that were longer than the limit. */
  shortened: number
}

const maxCharacters = 8_000_000

/**
 * Series as they are stored, by what was sent: an agent names the same ones every window, and mapping their
 * labels and hashing them costs more than the samples of a small profile. Emptied when it has held 16 MB of text.
 */
export class SeriesCache {
  readonly #known = new Map<string, KnownSeries>()
  #characters = 0

  /** Throws LABEL_INVALID, LABELS_TOO_MANY, LABEL_TOO_LONG. */
  of(
    profileName: string,
    sampleType: ValueType,
    periodType: ValueType,
    sent: readonly Label[],
    durationNs: bigint,
    { limits, groupLabels }: Pick<DecodeSettings, 'limits' | 'groupLabels'>,
  ): KnownSeries {
    // Lengths keep apart what texts alone would not.
    let key = `${limits.maxLabels},${limits.maxLabelNameBytes},${limits.maxLabelValueBytes},${durationNs > 0n},${groupLabels}`
    for (const text of [profileName, sampleType.type, sampleType.unit, periodType.type, periodType.unit])
      key += `,${text.length}:${text}`
    for (const { name, value } of sent) key += `,${name.length}:${name}${value.length}:${value}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const marked = markType(profileName, sampleType, periodType, sent, durationNs)
    const { labels, duplicates, shortened } = readSeriesLabels(marked.labels, limits)
    const series: KnownSeries = {
      row: {
        service: labels.find(label => label.name === 'service_name')!.value,
        type: marked.type,
        seriesId: seriesId(labels, marked.type),
        groupId: groupId(labels, groupLabels),
        labels,
      },
      duplicates,
      shortened,
    }
    // The labels once more beside the key.
    this.#characters += 2 * key.length
    if (this.#characters > maxCharacters) {
      this.#known.clear()
      this.#characters = 2 * key.length
    }
    this.#known.set(key, series)
    return series
  }
}
