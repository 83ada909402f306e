/** Profiles from text columns and trees as text, for tests of every package. */
import type { StackColumns } from './call-tree.ts'
import type { CallTree, FunctionTotal, Profile, TreeFrame } from './model.ts'

export interface ColumnStacks extends StackColumns {
  values: number[]
  frames: TreeFrame[]
}

/**
 * Stacks drawn as columns, roots on top:
 *
 *     2     1
 *     main  main
 *     fib   fib
 *     fib   .
 *
 * Columns part at spaces. A first line of numbers holds the values, 1 each without it. `.` is no frame.
 * A name may carry its module: `read@libc.so.6`. Equal words are one frame.
 */
export function stacksFromColumns(text: string): ColumnStacks {
  const rows = text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .map(line => line.split(/\s+/))
  const hasValues = rows[0]?.every(word => /^-?\d+(\.\d+)?$/.test(word)) ?? false
  const width = rows[0]?.length ?? 0
  const values = hasValues ? rows[0]!.map(Number) : new Array<number>(width).fill(1)
  const frames: TreeFrame[] = []
  const words: string[] = []
  const stackOffset = [0]
  const stackFrame: number[] = []
  for (let column = 0; column < width; column++) {
    for (const row of rows.slice(hasValues ? 1 : 0).reverse()) {
      const word = row[column] ?? '.'
      if (word === '.') continue
      let frame = words.indexOf(word)
      if (frame < 0) {
        frame = words.push(word) - 1
        const [name = '', module = ''] = word.split('@')
        frames.push({ name, file: '', module, kind: module === '[kernel]' ? 'kernel' : 'native' })
      }
      stackFrame.push(frame)
    }
    stackOffset.push(stackFrame.length)
  }
  return { stackOffset, stackFrame, values, frames }
}

/** A cpu profile of the columns, see stacksFromColumns; values are nanoseconds. */
export function profileFromColumns(text: string): Profile {
  const { stackOffset, stackFrame, values, frames } = stacksFromColumns(text)
  const modules = [...new Set(frames.map(frame => frame.module))].filter(module => module !== '')
  const samples = values.length
  return {
    sampleTypes: [{ type: 'cpu', unit: 'nanoseconds' }],
    defaultSampleType: '',
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    period: 1n,
    timeNanos: 0n,
    durationNanos: 0n,
    comments: [],
    mappings: modules.map(file => ({ start: 0n, limit: 0n, offset: 0n, file, buildId: '' })),
    functions: frames.map(({ name }) => ({ name, systemName: name, file: '', startLine: 0 })),
    locationAddress: BigUint64Array.from(frames, (_, i) => BigInt(i + 1)),
    locationMapping: Int32Array.from(frames, frame => modules.indexOf(frame.module)),
    lineOffset: Uint32Array.from({ length: frames.length + 1 }, (_, i) => i),
    lineFunction: Int32Array.from(frames, (_, i) => i),
    lineNumber: new Uint32Array(frames.length),
    stackOffset: Uint32Array.from(stackOffset as number[]),
    stackLocation: Uint32Array.from(stackFrame as number[]),
    values: BigInt64Array.from(values, value => BigInt(value)),
    labelOffset: new Uint32Array(samples + 1),
    labelKey: new Uint32Array(0),
    labelString: new Int32Array(0),
    labelNumber: new BigInt64Array(0),
    labelUnit: new Int32Array(0),
    labelStrings: [],
  }
}

/** One line per node, two spaces per level: `name total self`, the root as `all`. */
export function formatTree(tree: CallTree): string {
  const depth: number[] = []
  const lines: string[] = []
  for (let node = 0; node < tree.parent.length; node++) {
    const parent = tree.parent[node]!
    depth[node] = parent < 0 ? 0 : depth[parent]! + 1
    const frame = tree.frames[tree.frame[node]!]
    const name = frame === undefined ? 'all' : frame.name + (frame.module === '' ? '' : `@${frame.module}`)
    lines.push(`${'  '.repeat(depth[node]!)}${name} ${tree.total[node]} ${tree.self[node]}`)
  }
  return lines.join('\n')
}

/** `fib total 2 self 1, main total 2 self 0`. */
export function formatFunctions(functions: readonly FunctionTotal[]): string {
  return functions.map(({ frame, self, total }) => `${frame.name} total ${total} self ${self}`).join(', ')
}

/** Text of a template literal without its first and last line break and the indentation all lines share. */
export function dedent(text: string): string {
  const lines = text
    .replace(/^\n/, '')
    .replace(/\n\s*$/, '')
    .split('\n')
  const indent = Math.min(...lines.filter(line => line.trim() !== '').map(line => line.search(/\S/)))
  return lines.map(line => line.slice(indent)).join('\n')
}
