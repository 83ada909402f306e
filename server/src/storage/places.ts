/**
 * Where the rows of a batch go, as coarse as partitions: one per retention class and quarter of an hour. All
 * times of a quarter are on one day in every time zone, so this holds whatever zone the store has.
 */
export interface Place {
  retention: number
  /** Quarters of an hour since the epoch. */
  quarter: number
  /** False: profiles without samples only. */
  hasSamples: boolean
}

const quarterMs = 900_000

/** The places of one batch, as text: `retention/quarter/1` and a space between. */
export class PlaceList {
  readonly #places = new Map<string, boolean>()

  clear(): void {
    this.#places.clear()
  }

  /** A profile. */
  add(retention: number, timeMs: number, hasSamples: boolean): void {
    const place = `${retention}/${Math.floor(timeMs / quarterMs)}`
    this.#places.set(place, hasSamples || this.#places.get(place) === true)
  }

  toString(): string {
    return [...this.#places].map(([place, hasSamples]) => `${place}/${hasSamples ? 1 : 0}`).join(' ')
  }
}

/** Of several batches together. */
export function parsePlaces(texts: Iterable<string>): Place[] {
  const places = new Map<string, Place>()
  for (const text of texts)
    for (const one of text.split(' ').filter(part => part !== '')) {
      const [retention = 0, quarter = 0, hasSamples = 0] = one.split('/').map(Number)
      const key = `${retention}/${quarter}`
      const known = places.get(key)
      if (known) known.hasSamples ||= hasSamples === 1
      else places.set(key, { retention, quarter, hasSamples: hasSamples === 1 })
    }
  return [...places.values()]
}
