import type { IdentityHasher, SampleLabel } from '../identity.ts'
import { mapLabelNames } from '../labels.ts'
import type { Profile } from '../model.ts'

/** The numeric sample label that names a sample's series in a body shared by several. */
export const SERIES_LABEL = 'strobe_series'

/** Stands for the labels of a sample whose own were too many or too long to keep. */
export const FOLDED_LABELSET: readonly SampleLabel[] = [{ name: 'strobe_folded', value: 'true', unit: null }]

export interface LabelsetLimits {
  /** Distinct label sets of one series; a label of ever new values, such as a request's id, would be a row each. */
  maxLabelsets: number
  maxSampleLabels: number
  /** UTF-16 units of all names and values of a set. */
  maxLabelsetLength: number
}

/**
 * Distinct sample label sets. `series` holds the series of the sample that was added last. A set past the
 * limits becomes FOLDED_LABELSET and its sample is counted in `folded`; a text without characters is no label.
 */
export class LabelsetTable {
  readonly sets: SampleLabel[][] = [[]]
  readonly ids: bigint[] = [0n]
  series = 0
  renamed = 0
  duplicates = 0
  folded = 0
  readonly #limits: LabelsetLimits
  readonly #setsOfSeries = new Map<number, number>()
  readonly #profile: Profile
  readonly #hasher: IdentityHasher
  readonly #seriesKey: number
  readonly #indexOfKey = new Map<string, number>()
  readonly #indexOfId = new Map<bigint, number>([[0n, 0]])

  constructor(profile: Profile, hasher: IdentityHasher, limits: LabelsetLimits) {
    this.#limits = limits
    this.#profile = profile
    this.#hasher = hasher
    this.#seriesKey = profile.labelStrings.indexOf(SERIES_LABEL)
  }

  add(sample: number): number {
    const profile = this.#profile
    const first = profile.labelOffset[sample]!
    const last = profile.labelOffset[sample + 1]!
    this.series = 0
    let key = ''
    for (let at = first; at < last; at++) {
      const name = profile.labelKey[at]!
      if (name === this.#seriesKey && profile.labelString[at]! < 0) {
        this.series = Number(BigInt.asUintN(32, profile.labelNumber[at]!))
      } else if (profile.labelString[at]! >= 0) key += `${name}=${profile.labelString[at]};`
      else key += `${name}#${profile.labelNumber[at]}:${profile.labelUnit[at]};`
    }
    if (key === '') return 0
    key = `${this.series}|${key}`
    const known = this.#indexOfKey.get(key)
    if (known !== undefined) return known
    const set: SampleLabel[] = []
    let length = 0
    for (let at = first; at < last; at++) {
      const name = profile.labelKey[at]!
      const text = profile.labelString[at]!
      if (text < 0 && name === this.#seriesKey) continue
      const unit = profile.labelUnit[at]!
      const label: SampleLabel = {
        name: profile.labelStrings[name]!,
        value: text < 0 ? profile.labelNumber[at]!.toString() : profile.labelStrings[text]!,
        unit: text >= 0 ? null : unit < 0 ? '' : profile.labelStrings[unit]!,
      }
      if (label.value === '') continue
      length += label.name.length + label.value.length
      set.push(label)
    }
    if (set.length === 0) {
      this.#indexOfKey.set(key, 0)
      return 0
    }
    const sets = this.#setsOfSeries.get(this.series) ?? 0
    const { maxLabelsets, maxSampleLabels, maxLabelsetLength } = this.#limits
    // Keys of folded sets are not kept: they are what there are too many of.
    if (sets >= maxLabelsets || set.length > maxSampleLabels || length > maxLabelsetLength)
      return this.#fold()
    this.#setsOfSeries.set(this.series, sets + 1)
    const mapped = mapLabelNames(set)
    this.renamed += mapped.renamed
    this.duplicates += mapped.duplicates
    const index = this.#indexOf(mapped.labels)
    this.#indexOfKey.set(key, index)
    return index
  }

  #fold(): number {
    this.folded++
    return this.#indexOf([...FOLDED_LABELSET])
  }

  #indexOf(labels: SampleLabel[]): number {
    const id = this.#hasher.labelset(labels).id()
    let index = this.#indexOfId.get(id)
    if (index === undefined) {
      index = this.sets.length
      this.sets.push(labels)
      this.ids.push(id)
      this.#indexOfId.set(id, index)
    }
    return index
  }
}
