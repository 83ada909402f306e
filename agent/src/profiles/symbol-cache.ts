/** A function and a line in it. */
export interface FrameLine {
  name: string
  systemName: string
  /** '' when unknown. */
  file: string
  /** 0 when unknown. */
  line: number
  startLine: number
}

/** The name of a frame and its place in the file. */
export interface FrameSymbol {
  /** Innermost first: inlined calls, then the function they are in. Empty when it has no name. */
  lines: FrameLine[]
  /** Virtual address in the ELF file, kernel address, or pc. */
  address: bigint
}

const entryBytes = 128
const lineBytes = 96

/**
 * Names of frames, kept across windows within a budget of bytes.
 *
 * Two generations: when the young one holds half the budget it becomes the old one, and what was not
 * looked up since is forgotten. Least recently used within a factor of two, with no list to maintain.
 */
export class SymbolCache {
  #young = new Map<number, Map<number, FrameSymbol>>()
  #old = new Map<number, Map<number, FrameSymbol>>()
  #youngBytes = 0
  #oldBytes = 0
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(scope: number, position: number): FrameSymbol | undefined {
    const young = this.#young.get(scope)?.get(position)
    if (young) return young
    const old = this.#old.get(scope)?.get(position)
    if (old) this.set(scope, position, old)
    return old
  }

  set(scope: number, position: number, symbol: FrameSymbol): void {
    let bytes = entryBytes
    for (const line of symbol.lines)
      bytes += lineBytes + line.name.length + line.systemName.length + line.file.length
    if (this.#youngBytes + bytes > this.#maxBytes / 2) {
      this.#old = this.#young
      this.#oldBytes = this.#youngBytes
      this.#young = new Map()
      this.#youngBytes = 0
    }
    let positions = this.#young.get(scope)
    if (!positions) {
      positions = new Map()
      this.#young.set(scope, positions)
    }
    if (!positions.has(position)) this.#youngBytes += bytes
    positions.set(position, symbol)
  }

  /** Forgets the names of a file that has better ones now. Their bytes are given back with their generation. */
  forget(scope: number): void {
    this.#young.delete(scope)
    this.#old.delete(scope)
  }

  /** Estimated bytes held now. */
  get bytes(): number {
    return this.#youngBytes + this.#oldBytes
  }
}
