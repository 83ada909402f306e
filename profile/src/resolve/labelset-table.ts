import type { IdentityHasher, SampleLabel } from '../identity.ts'
import { mapLabelNames } from '../labels.ts'
import { roomyInt32 } from '../pprof/grown.ts'

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

/** Labels of samples in columns, as a profile holds them. */
export interface SampleLabels {
  count: number
  key: Uint32Array
  string: Int32Array
  number: BigInt64Array
  /** `number` as unsigned halves, low first. */
  numberHalves: Uint32Array
  unit: Int32Array
  texts: string[]
}

/**
 * Distinct label sets of the samples of one body after another; set 0 is the empty one. A set past the limits
 * becomes FOLDED_LABELSET and its sample is counted in `folded`; a text without characters is no label.
 */
export class LabelsetTable {
  sets: SampleLabel[][] = []
  /** Unsigned halves, low first. */
  ids: number[] = []
  renamed = 0
  duplicates = 0
  folded = 0
  /** The series of the sample that was added last. */
  series = 0
  readonly #hasher: IdentityHasher
  readonly #limits: LabelsetLimits
  readonly #setsOfSeries = new Map<number, number>()
  #labels!: SampleLabels
  #seriesKey = -1
  /** Where the labels of the first sample of each distinct list lie, and the list's set. */
  #first: number[] = []
  #last: number[] = []
  #seriesOfList: number[] = []
  #setOfList: number[] = []
  #slots = new Int32Array(64)
  #mask = 63
  readonly #setOfId = new Map<bigint, number>()

  constructor(hasher: IdentityHasher, limits: LabelsetLimits) {
    this.#hasher = hasher
    this.#limits = limits
  }

  reset(labels: SampleLabels): void {
    this.#labels = labels
    this.#seriesKey = labels.texts.indexOf(SERIES_LABEL)
    this.sets = [[]]
    this.ids = [0, 0]
    this.renamed = 0
    this.duplicates = 0
    this.folded = 0
    this.#setsOfSeries.clear()
    this.#first = []
    this.#last = []
    this.#seriesOfList = []
    this.#setOfList = []
    let size = 64
    while (size < 2 * labels.count + 2) size *= 2
    this.#slots = roomyInt32(this.#slots, size)
    this.#slots.fill(-1, 0, size)
    this.#mask = size - 1
    this.#setOfId.clear()
    this.#setOfId.set(0n, 0)
  }

  /** The set of the labels from `first` to before `last`, without the series label. */
  add(first: number, last: number): number {
    const { key, string, numberHalves, unit } = this.#labels
    this.series = 0
    let hash = 0
    let count = 0
    for (let at = first; at < last; at++) {
      if (this.#isSeries(at)) {
        this.series = numberHalves[2 * at]!
        continue
      }
      hash = Math.imul(hash ^ key[at]!, 0x9e3779b1) ^ string[at]!
      hash = Math.imul(hash ^ numberHalves[2 * at]! ^ (unit[at]! << 16), 0x85ebca6b)
      hash ^= numberHalves[2 * at + 1]! ^ (hash >>> 13)
      count++
    }
    if (count === 0) return 0
    // Each series has its own number of sets.
    hash ^= Math.imul(this.series, 0xc2b2ae35)
    let slot = (hash ^ (hash >>> 15)) & this.#mask
    for (let list = this.#slots[slot]!; list >= 0; list = this.#slots[slot]!) {
      if (
        this.#seriesOfList[list] === this.series &&
        this.#isSame(this.#first[list]!, this.#last[list]!, first, last)
      )
        return this.#setOfList[list]!
      slot = (slot + 1) & this.#mask
    }
    const set = this.#addSet(first, last)
    // Lists of folded sets are not kept: they are what there are too many of.
    if (set < 0) return this.#fold()
    this.#slots[slot] = this.#first.length
    this.#first.push(first)
    this.#last.push(last)
    this.#seriesOfList.push(this.series)
    this.#setOfList.push(set)
    return set
  }

  #isSeries(at: number): boolean {
    return this.#labels.key[at] === this.#seriesKey && this.#labels.string[at]! < 0
  }

  #isSame(firstA: number, lastA: number, firstB: number, lastB: number): boolean {
    const { key, string, numberHalves, unit } = this.#labels
    let a = firstA
    let b = firstB
    for (;;) {
      while (a < lastA && this.#isSeries(a)) a++
      while (b < lastB && this.#isSeries(b)) b++
      if (a === lastA || b === lastB) return a === lastA && b === lastB
      if (key[a] !== key[b] || string[a] !== string[b] || unit[a] !== unit[b]) return false
      if (numberHalves[2 * a] !== numberHalves[2 * b]) return false
      if (numberHalves[2 * a + 1] !== numberHalves[2 * b + 1]) return false
      a++
      b++
    }
  }

  /** -1 when the set is past the limits. */
  #addSet(first: number, last: number): number {
    const { key, string, number, unit, texts } = this.#labels
    const given: SampleLabel[] = []
    let length = 0
    for (let at = first; at < last; at++) {
      if (this.#isSeries(at)) continue
      const text = string[at]!
      const label: SampleLabel = {
        name: texts[key[at]!]!,
        value: text < 0 ? number[at]!.toString() : texts[text]!,
        unit: text >= 0 ? null : unit[at]! < 0 ? '' : texts[unit[at]!]!,
      }
      if (label.value === '') continue
      length += label.name.length + label.value.length
      given.push(label)
    }
    if (given.length === 0) return 0
    const sets = this.#setsOfSeries.get(this.series) ?? 0
    const { maxLabelsets, maxSampleLabels, maxLabelsetLength } = this.#limits
    if (sets >= maxLabelsets || given.length > maxSampleLabels || length > maxLabelsetLength) return -1
    this.#setsOfSeries.set(this.series, sets + 1)
    const mapped = mapLabelNames(given)
    this.renamed += mapped.renamed
    this.duplicates += mapped.duplicates
    return this.#indexOf(mapped.labels)
  }

  #fold(): number {
    this.folded++
    return this.#indexOf([...FOLDED_LABELSET])
  }

  #indexOf(labels: SampleLabel[]): number {
    const hasher = this.#hasher.labelset(labels)
    const id = hasher.id()
    let set = this.#setOfId.get(id)
    if (set === undefined) {
      set = this.sets.length
      this.sets.push(labels)
      this.ids.push(hasher.low, hasher.high)
      this.#setOfId.set(id, set)
    }
    return set
  }
}
