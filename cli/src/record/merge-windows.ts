import { type FunctionInfo, type Mapping, type Profile, SERIES_LABEL } from '@strobe/profile'

/** A window of the agent: its body, and the labels of the series its samples name. */
export interface RecordedWindow {
  profile: Profile
  seriesLabels: ReadonlyMap<string, string>[]
}

/** Series labels that become sample labels, so that `go tool pprof -tagfocus` can tell processes apart. */
const keptSeriesLabels = ['process_executable_name']

/**
 * Adds up windows into one profile: equal mappings, functions, locations and samples become one. The
 * series label, an index into a list that stays behind, gives way to the labels of the series.
 */
export class WindowMerger {
  readonly #mappings = new Interner<Mapping>()
  readonly #functions = new Interner<FunctionInfo>()
  readonly #locations = new Interner<{ address: bigint; mapping: number; lines: [number, number][] }>()
  readonly #samples = new Map<string, { stack: number[]; labels: [string, string][]; value: bigint }>()
  #first: Profile | null = null
  #endNanos = 0n

  /** Windows in order of time, all of one sample type and period. */
  add({ profile, seriesLabels }: RecordedWindow): void {
    this.#first ??= profile
    this.#endNanos = profile.timeNanos + profile.durationNanos
    const mapping = profile.mappings.map(each =>
      this.#mappings.index(`${each.buildId}\0${each.file}\0${each.start}\0${each.offset}`, each),
    )
    const functions = profile.functions.map(each =>
      this.#functions.index(`${each.name}\0${each.systemName}\0${each.file}\0${each.startLine}`, each),
    )
    const location = Array.from(profile.locationAddress, (address, index) => {
      const lines: [number, number][] = []
      for (let at = profile.lineOffset[index]!; at < profile.lineOffset[index + 1]!; at++)
        lines.push([functions[profile.lineFunction[at]!]!, profile.lineNumber[at]!])
      const mappingIndex = mapping[profile.locationMapping[index]!] ?? -1
      return this.#locations.index(`${mappingIndex}:${address}:${lines.join(';')}`, {
        ...{ address, mapping: mappingIndex, lines },
      })
    })
    for (let sample = 0; sample + 1 < profile.stackOffset.length; sample++) {
      const stack = Array.from(
        profile.stackLocation.subarray(profile.stackOffset[sample]!, profile.stackOffset[sample + 1]!),
        index => location[index]!,
      )
      const labels = readLabels(profile, sample, seriesLabels)
      const key = `${stack.join()}|${labels.join('\0')}`
      const known = this.#samples.get(key)
      if (known) known.value += profile.values[sample]!
      else this.#samples.set(key, { stack, labels, value: profile.values[sample]! })
    }
  }

  /** null when no window came. */
  finish(): Profile | null {
    if (!this.#first) return null
    const strings = new Interner<string>()
    const order = this.#mappingOrder()
    const samples = [...this.#samples.values()]
    const labels = samples.flatMap(sample => sample.labels)
    const locations = this.#locations.values
    const lines = locations.flatMap(location => location.lines)
    const { sampleTypes, defaultSampleType, periodType, period, timeNanos, comments } = this.#first
    return {
      ...{ sampleTypes, defaultSampleType, periodType, period, timeNanos, comments },
      durationNanos: this.#endNanos - timeNanos,
      mappings: order.map(index => this.#mappings.values[index]!),
      functions: this.#functions.values,
      locationAddress: BigUint64Array.from(locations, location => location.address),
      locationMapping: Int32Array.from(locations, location => order.indexOf(location.mapping)),
      lineOffset: offsets(locations, location => location.lines.length),
      lineFunction: Int32Array.from(lines, line => line[0]),
      lineNumber: Uint32Array.from(lines, line => line[1]),
      stackOffset: offsets(samples, sample => sample.stack.length),
      stackLocation: Uint32Array.from(samples.flatMap(sample => sample.stack)),
      values: BigInt64Array.from(samples, sample => sample.value),
      labelOffset: offsets(samples, sample => sample.labels.length),
      labelKey: Uint32Array.from(labels, ([name]) => strings.index(name, name)),
      labelString: Int32Array.from(labels, ([, value]) => strings.index(value, value)),
      labelNumber: new BigInt64Array(labels.length),
      labelUnit: new Int32Array(labels.length).fill(-1),
      labelStrings: strings.values,
    }
  }

  /** pprof tools name a profile after its first mapping: that of the file whose code ran most. */
  #mappingOrder(): number[] {
    const weight = new Float64Array(this.#mappings.values.length)
    for (const { stack, value } of this.#samples.values()) {
      const mappings = stack.map(location => this.#locations.values[location]!.mapping)
      const own = mappings.find(
        mapping => mapping >= 0 && !this.#mappings.values[mapping]!.file.startsWith('['),
      )
      if (own !== undefined) weight[own]! += Number(value)
    }
    return [...weight.keys()].sort((a, b) => weight[b]! - weight[a]!)
  }
}

function readLabels(
  profile: Profile,
  sample: number,
  seriesLabels: ReadonlyMap<string, string>[],
): [string, string][] {
  const labels: [string, string][] = []
  let series = 0
  for (let at = profile.labelOffset[sample]!; at < profile.labelOffset[sample + 1]!; at++) {
    const name = profile.labelStrings[profile.labelKey[at]!]!
    const value = profile.labelString[at]!
    if (name === SERIES_LABEL) series = Number(profile.labelNumber[at])
    else if (value >= 0) labels.push([name, profile.labelStrings[value]!])
  }
  for (const name of keptSeriesLabels) {
    const value = seriesLabels[series]?.get(name)
    if (value) labels.push([name, value])
  }
  return labels
}

function offsets<T>(items: T[], lengthOf: (item: T) => number): Uint32Array {
  const result = new Uint32Array(items.length + 1)
  for (const [index, item] of items.entries()) result[index + 1] = result[index]! + lengthOf(item)
  return result
}

class Interner<T> {
  readonly values: T[] = []
  readonly #indexOf = new Map<string, number>()

  index(key: string, value: T): number {
    let index = this.#indexOf.get(key)
    if (index === undefined) {
      index = this.values.push(value) - 1
      this.#indexOf.set(key, index)
    }
    return index
  }
}
