import type { FlamegraphAnswer, FrameKind } from '../api/types.ts'
import { type FlameTree, readTree } from './tree.ts'

/**
 * Builds a tree from lines: two spaces a level, the name, then its self weight; totals follow.
 *
 *   main 0
 *     fib 2
 */
export function treeFromText(text: string): FlameTree {
  const names = ['all']
  const kinds: FrameKind[] = ['none']
  const nodes: FlamegraphAnswer['nodes'] = { name: [0], parent: [-1], self: [0], total: [0] }
  const path = [0]
  const lines = text.split('\n').filter(line => line.trim() !== '')
  const indent = lines[0]?.search(/\S/) ?? 0
  for (const line of lines) {
    const level = (line.search(/\S/) - indent) / 2 + 1
    const [, name = '', self = '0'] = /^\s*(.*) (\d+)$/.exec(line) ?? []
    if (!names.includes(name)) {
      names.push(name)
      kinds.push(name.endsWith('smaller frames') ? 'omitted' : 'native')
    }
    const node = nodes.name.push(names.indexOf(name)) - 1
    path[level] = node
    nodes.parent.push(path[level - 1] ?? 0)
    nodes.self.push(Number(self))
    nodes.total.push(0)
    for (const above of path.slice(0, level + 1))
      nodes.total[above] = (nodes.total[above] ?? 0) + Number(self)
  }
  return readTree({
    unit: 'count',
    total: nodes.total[0] ?? 0,
    names,
    files: names.map(() => ''),
    modules: names.map(() => 'app'),
    kinds,
    nodes,
  })
}
