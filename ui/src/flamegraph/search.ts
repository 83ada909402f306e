import type { FlameTree, Frame } from './tree.ts'

export interface SearchResult {
  /** Indices into the tree's frames. */
  frames: Set<number>
  /** Nodes, depth first. */
  nodes: number[]
  /** Weight through at least one matching frame: a match below another match is not counted again. */
  weight: number
}

/** "name" in double quotes is the whole name; anything else a part of it, in any case of letters. */
export function frameMatcher(term: string): (frame: Pick<Frame, 'name' | 'kind'>) => boolean {
  const exact = isExact(term) ? term.slice(1, -1) : null
  const part = term.toLowerCase()
  return frame => {
    if (frame.kind === 'omitted' || frame.kind === 'none') return false
    return exact === null ? frame.name.toLowerCase().includes(part) : frame.name === exact
  }
}

export function isExact(term: string): boolean {
  return term.length > 2 && term.startsWith('"') && term.endsWith('"')
}

/** null for an empty term. */
export function searchTree(tree: FlameTree, term: string): SearchResult | null {
  if (term.trim() === '') return null
  const matches = frameMatcher(term.trim())
  const frames = new Set<number>()
  tree.frames.forEach((frame, index) => {
    if (matches(frame)) frames.add(index)
  })
  const nodes: number[] = []
  let weight = 0
  let countedUntil = 0
  for (let node = 1; node < tree.frame.length; node++) {
    if (!frames.has(tree.frame[node] ?? -1)) continue
    nodes.push(node)
    if (node < countedUntil) continue
    weight += tree.totals[node] ?? 0
    countedUntil = tree.end[node] ?? 0
  }
  return { frames, nodes, weight }
}
