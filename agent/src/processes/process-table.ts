import type { NativeProcess, NativeWindow } from '../bpf/native.ts'
import {
  adoptsHelpers,
  relabelSources,
  type SeriesLabels,
  type ServiceIdentity,
  seriesLabels,
  serviceName,
} from './labels.ts'
import type { ReadProcessStat } from './process-stat.ts'

/** What the processes of one window add up to. */
export interface WindowSeries {
  labels: SeriesLabels
  /** CPU time of the series by the kernel's own accounting divided by the period: what sampling should have seen. */
  expected: number
}

export interface ObservedWindow {
  series: WindowSeries[]
  /** Parallel to NativeWindow.processes: index into series; -1 when the process was left out. */
  seriesOfProcess: Int32Array
  /** Live but idle processes left out because the window already had the most series allowed. */
  omittedIdleSeries: number
  /** Samples of processes that a relabel rule dropped. */
  refusedSamples: number
}

export interface ProcessTableOptions {
  hostName: string
  periodNs: number
  /** Value of enum unwind_result for a kernel thread. */
  kernelThreadResult: number
  readStat: ReadProcessStat
  /** A window with more label sets than this puts the rest in the service 'other'. */
  maxSeries: number
  /** Whether this process is profiled; all are by default. */
  includes?: (process: NativeProcess) => boolean
  /** '' for a process without one, as by default. */
  versionOf?: (process: NativeProcess) => string
  /** Labels to send for labels and sources; null drops the process. */
  relabel?: (labels: SeriesLabels, sources: SeriesLabels) => SeriesLabels | null
}

const maxHelperCpuNs = 1e9

/** A program image of a process; exec begins another one. */
interface Image {
  process: NativeProcess
  service: ServiceIdentity
  /** null: a relabel rule dropped it. */
  labels: SeriesLabels | null
}

interface Known {
  /** CPU time at the end of the last window, null before the first reading. */
  cpuNs: number | null
  /** The newest image, for windows in which the process was idle. */
  image: Image
}

/**
 * Gives every process of a window its series, and remembers the living so that idle ones are reported.
 *
 * A process that started and ended inside the window in which it was first seen, and used less than a
 * second of CPU, is a short-lived helper: it counts as part of the service of its parent when the parent
 * was seen and is no shell, init or other program whose work is to start programs. One that lives on past
 * a window's end, or works as hard as a service would, is a service of its own.
 *
 * expected comes from /proc/PID/stat. Where that cannot tell (the process ended, or was running before its
 * first sample), the samples taken stand for it: they make neither a loss nor a surplus.
 */
export class ProcessTable {
  readonly #options: ProcessTableOptions
  /** By pid and start time. */
  readonly #known = new Map<string, Known>()

  constructor(options: ProcessTableOptions) {
    this.#options = options
  }

  /** windowStartBoottime: start of the window, nanoseconds since boot. Call once a window, at its end. */
  observe(window: NativeWindow, windowStartBoottime: bigint): ObservedWindow {
    const { periodNs, kernelThreadResult, includes } = this.#options
    const processes = window.processes
    const samples = new Float64Array(processes.length)
    const isKernelThread = new Uint8Array(processes.length)
    for (let row = 0; row < window.sampleProcess.length; row++) {
      const process = window.sampleProcess[row]!
      samples[process]! += window.sampleCount[row]!
      if (window.sampleResult[row] === kernelThreadResult) isKernelThread[process] = 1
    }

    const builder = new SeriesBuilder(this.#options.maxSeries)
    const seriesOfProcess = new Int32Array(processes.length).fill(-1)
    // Parents before children: a helper of a helper belongs to the same service.
    const order = processes
      .map((_, index) => index)
      .filter(index => samples[index]! > 0 && (!includes || includes(processes[index]!)))
      .sort((a, b) => Number(processes[a]!.startBoottime - processes[b]!.startBoottime))
    const images = new Map<string, number[]>()
    for (const index of order) {
      const key = processKey(processes[index]!)
      const list = images.get(key)
      if (list) list.push(index)
      else images.set(key, [index])
    }

    const byPid = new Map<number, Image>()
    for (const known of this.#known.values()) byPid.set(known.image.process.pid, known.image)
    const ended: string[] = []
    let refusedSamples = 0
    for (const [key, indices] of images) {
      const first = processes[indices[0]!]!
      const known = this.#known.get(key)
      const stat = this.#readSame(first)
      const startedInWindow = first.startBoottime >= windowStartBoottime
      const taken = indices.reduce((sum, index) => sum + samples[index]!, 0)
      const isHelper = stat === 'gone' && !known && startedInWindow && taken * periodNs < maxHelperCpuNs
      const parent = isHelper ? byPid.get(first.parentPid) : undefined
      let expected = taken
      if (typeof stat === 'object') {
        const before = known?.cpuNs ?? (startedInWindow ? 0 : null)
        if (before !== null) expected = Math.max(0, stat.cpuNs - before) / periodNs
      }

      let image: Image | undefined
      for (const index of indices) {
        image = this.#image(processes[index]!, isKernelThread[index] === 1, known, parent)
        const share = taken > 0 ? samples[index]! / taken : 0
        if (image.labels) seriesOfProcess[index] = builder.add(image.labels, expected * share, true)
        else refusedSamples += samples[index]!
      }
      byPid.set(first.pid, image!)
      if (stat === 'gone') ended.push(key)
      else this.#known.set(key, { image: image!, cpuNs: typeof stat === 'object' ? stat.cpuNs : null })
    }
    for (const key of ended) this.#known.delete(key)

    let omittedIdleSeries = 0
    for (const [key, known] of this.#known) {
      if (images.has(key)) continue
      const stat = this.#readSame(known.image.process)
      if (stat === 'gone') {
        this.#known.delete(key)
        continue
      }
      const used = typeof stat === 'object' && known.cpuNs !== null ? stat.cpuNs - known.cpuNs : 0
      if (typeof stat === 'object') known.cpuNs = stat.cpuNs
      if (!known.image.labels) continue
      if (builder.add(known.image.labels, Math.max(0, used) / periodNs, false) < 0) omittedIdleSeries++
    }
    return { series: builder.finish(), seriesOfProcess, omittedIdleSeries, refusedSamples }
  }

  #image(
    process: NativeProcess,
    isKernelThread: boolean,
    known: Known | undefined,
    parent: Image | undefined,
  ): Image {
    const { hostName, versionOf, relabel } = this.#options
    const version = isKernelThread ? '' : (versionOf?.(process) ?? '')
    const before = known?.image
    const same = before?.process
    // A version can be found in a later window than the process.
    if (before && same?.exe === process.exe && same.cmdline.join('\0') === process.cmdline.join('\0')) {
      if (before.service.version === version) return before
    }
    const service =
      parent?.labels && adoptsHelpers(parent.process)
        ? parent.service
        : { name: serviceName(process, isKernelThread), version }
    const own = seriesLabels(process, isKernelThread, service, hostName)
    if (!relabel) return { process, service, labels: own }
    const labels = relabel(own, relabelSources(process))
    const name = labels?.find(([label]) => label === 'service_name')?.[1]
    return {
      process,
      service: { name: name ?? service.name, version: service.version },
      labels: labels && (name === undefined ? withService(labels, service.name) : labels),
    }
  }

  /** The pid may belong to a newer process by now; a tick of rounding apart is the same one. */
  #readSame(process: NativeProcess): ReturnType<ReadProcessStat> {
    const stat = this.#options.readStat(process.pid)
    if (typeof stat !== 'object') return stat
    const apart = stat.startBoottime - process.startBoottime
    return apart <= 20_000_000n && apart >= -20_000_000n ? stat : 'gone'
  }
}

class SeriesBuilder {
  readonly #indexByLabels = new Map<string, number>()
  readonly #series: { labels: SeriesLabels; expected: number }[] = []
  readonly #maxSeries: number

  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries
  }

  /** Returns the index of the series; -1 for an idle one over the limit. */
  add(labels: SeriesLabels, expected: number, isSampled: boolean): number {
    const key = JSON.stringify(labels)
    let index = this.#indexByLabels.get(key)
    if (index === undefined) {
      if (this.#series.length >= this.#maxSeries) {
        if (!isSampled) return -1
        const hostName = labels.find(([name]) => name === 'host_name')?.[1] ?? ''
        const other: SeriesLabels = [
          ['host_name', hostName],
          ['service_name', 'other'],
        ]
        const otherKey = JSON.stringify(other)
        if (key !== otherKey && !this.#indexByLabels.has(otherKey)) {
          this.#indexByLabels.set(otherKey, this.#series.length)
          this.#series.push({ labels: other, expected: 0 })
        }
        index = this.#indexByLabels.get(otherKey)!
      } else {
        index = this.#series.length
        this.#series.push({ labels, expected: 0 })
        this.#indexByLabels.set(key, index)
      }
    }
    this.#series[index]!.expected += expected
    return index
  }

  finish(): WindowSeries[] {
    return this.#series.map(series => ({ labels: series.labels, expected: Math.round(series.expected) }))
  }
}

/** Every series has a service, whatever the rules did. */
function withService(labels: SeriesLabels, name: string): SeriesLabels {
  return [...labels, ['service_name', name] as const].sort(([a], [b]) => (a < b ? -1 : 1))
}

function processKey(process: NativeProcess): string {
  return `${process.pid}:${process.startBoottime}`
}
