/**
 * Who descends from whom, as far as samples told. The dead are kept: a child whose parent is gone still
 * belongs to the command that was recorded.
 */
export class ProcessTree {
  /** Child to parent, by `pid` alone: within one recording a pid that comes back is the newer process. */
  #parents = new Map<number, number>()
  readonly #maxProcesses: number

  constructor(maxProcesses: number) {
    this.#maxProcesses = maxProcesses
  }

  add(pid: number, parentPid: number): void {
    const known = this.#parents.get(pid)
    // A process whose parent died is handed to init or a subreaper: the first parent is the true one.
    if (known !== undefined && parentPid <= 1) return
    this.#parents.set(pid, parentPid)
    if (this.#parents.size > this.#maxProcesses) this.#parents.delete(this.#parents.keys().next().value!)
  }

  has(pid: number): boolean {
    return this.#parents.has(pid)
  }

  /** A process descends from itself. */
  isDescendant(pid: number, ancestor: number): boolean {
    const seen = new Set<number>()
    for (let at: number | undefined = pid; at !== undefined && !seen.has(at); at = this.#parents.get(at)) {
      if (at === ancestor) return true
      seen.add(at)
    }
    return false
  }
}
