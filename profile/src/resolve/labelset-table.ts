import type { IdentityHasher, SampleLabel } from '../identity.ts'
import { mapLabelNames } from '../labels.ts'
import type { Profile } from '../model.ts'

/** The numeric sample label that names a sample's series in a body shared by several. */
export const SERIES_LABEL = 'strobe_series'

/** Distinct sample label sets. `series` holds the series of the sample that was added last. */
export class LabelsetTable {
  readonly sets: SampleLabel[][] = [[]]
  readonly ids: bigint[] = [0n]
  series = 0
  renamed = 0
  duplicates = 0
  readonly #profile: Profile
  readonly #hasher: IdentityHasher
  readonly #seriesKey: number
  readonly #indexOfKey = new Map<string, number>()
  readonly #indexOfId = new Map<bigint, number>([[0n, 0]])

  constructor(profile: Profile, hasher: IdentityHasher) {
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
    const known = this.#indexOfKey.get(key)
    if (known !== undefined) return known
    const set: SampleLabel[] = []
    for (let at = first; at < last; at++) {
      const name = profile.labelKey[at]!
      const text = profile.labelString[at]!
      if (text < 0 && name === this.#seriesKey) continue
      const unit = profile.labelUnit[at]!
      set.push({
        name: profile.labelStrings[name]!,
        value: text < 0 ? profile.labelNumber[at]!.toString() : profile.labelStrings[text]!,
        unit: text >= 0 ? null : unit < 0 ? '' : profile.labelStrings[unit]!,
      })
    }
    const mapped = mapLabelNames(set)
    this.renamed += mapped.renamed
    this.duplicates += mapped.duplicates
    const id = this.#hasher.labelset(mapped.labels).id()
    let index = this.#indexOfId.get(id)
    if (index === undefined) {
      index = this.sets.length
      this.sets.push(mapped.labels)
      this.ids.push(id)
      this.#indexOfId.set(id, index)
    }
    this.#indexOfKey.set(key, index)
    return index
  }
}
