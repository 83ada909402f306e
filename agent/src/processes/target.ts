import type { NativeProcess } from '../bpf/native.ts'
import type { ReadProcessStat } from './process-stat.ts'
import { ProcessTree } from './process-tree.ts'

/** What is profiled: everything, nothing yet, or a process with its descendants. */
export class ProfilingTarget {
  readonly #tree = new ProcessTree(1 << 20)
  readonly #readStat: ReadProcessStat
  /** null: everything. */
  #root: number | null

  /** target: 'all', 'none' or a pid. */
  constructor(target: string, readStat: ReadProcessStat) {
    this.#readStat = readStat
    this.#root = target === 'all' ? null : target === 'none' ? -1 : Number(target)
  }

  setRoot(pid: number): void {
    this.#root = pid
  }

  /** Learns who started whom; call for every process of a window before asking about one. */
  learn(processes: readonly NativeProcess[]): void {
    if (this.#root === null) return
    for (const process of processes) this.#tree.add(process.pid, process.parentPid)
    // Parents that burn no CPU are never sampled: ask the kernel while they live.
    for (const process of processes) {
      let pid = process.parentPid
      while (pid > 1 && !this.#tree.has(pid)) {
        const stat = this.#readStat(pid)
        if (typeof stat !== 'object') break
        this.#tree.add(pid, stat.parentPid)
        pid = stat.parentPid
      }
    }
  }

  includes(process: NativeProcess): boolean {
    return this.#root === null || this.#tree.isDescendant(process.pid, this.#root)
  }
}
