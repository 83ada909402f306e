import type { StackColumns } from '../call-tree.ts'
import { profileError } from '../errors.ts'
import type { Profile, TreeFrame, ValueType } from '../model.ts'
import { DEFAULT_TEXT_LIMITS, ProfileBuilder, type TextLimits } from './profile-builder.ts'

export interface FoldedProfile {
  profile: Profile
  /** Lines that are no stack: comments and what has no count at its end. Blank lines are not counted. */
  skippedLines: number
}

/**
 * Reads folded stacks, `root;child;leaf 12` a line, as flamegraph.pl takes them: UTF-8 or, with a byte
 * order mark, UTF-16; LF or CRLF. A line from `# ` on is a comment. One sample per line.
 * Counts that are no whole numbers are rounded.
 * Throws FOLDED_EMPTY when no line is a stack, TEXT_LIMIT.
 */
export function parseFolded(
  input: Uint8Array | string,
  sampleType: ValueType = { type: 'samples', unit: 'count' },
  limits: TextLimits = DEFAULT_TEXT_LIMITS,
): FoldedProfile {
  const text = typeof input === 'string' ? input.replace(/^\ufeff/, '') : decodeText(input)
  const builder = new ProfileBuilder(sampleType, limits)
  let skippedLines = 0
  let start = 0
  while (start < text.length) {
    let end = text.indexOf('\n', start)
    if (end < 0) end = text.length
    const line = text.slice(start, end).trim()
    start = end + 1
    if (line === '') continue
    const space = line.lastIndexOf(' ')
    const value = space < 1 || line.startsWith('# ') ? null : parseCount(line.slice(space + 1))
    if (value === null) {
      skippedLines++
      continue
    }
    const names = line
      .slice(0, space)
      .trimEnd()
      .split(';', limits.maxStackDepth + 1)
    builder.addStack(
      names.reverse().map(name => builder.location(name)),
      value,
    )
  }
  if (builder.stacks === 0) {
    throw profileError(
      'FOLDED_EMPTY',
      `no line is a folded stack such as "main;run 12" (${skippedLines} skipped)`,
      {
        skippedLines,
      },
    )
  }
  return { profile: builder.build(), skippedLines }
}

/**
 * Writes folded stacks, sorted, equal ones summed, stacks that sum to 0 left out. The format has no
 * escapes: `;` in a name becomes `:` and a line break a space. A sample without a stack is `[no stack]`.
 */
export function formatFolded(
  stacks: StackColumns,
  values: ArrayLike<number> | ArrayLike<bigint>,
  frames: readonly TreeFrame[],
): string {
  const names = frames.map(frame => frame.name.replaceAll(';', ':').replace(/\s*[\r\n]+\s*/g, ' '))
  const sums = new Map<string, number | bigint>()
  for (let stack = 0; stack < values.length; stack++) {
    const path: string[] = []
    for (let at = stacks.stackOffset[stack + 1]! - 1; at >= stacks.stackOffset[stack]!; at--) {
      path.push(names[stacks.stackFrame[at]!]!)
    }
    const line = path.length === 0 ? '[no stack]' : path.join(';')
    const value = values[stack]!
    const sum = sums.get(line)
    if (sum === undefined) sums.set(line, value)
    else if (typeof sum === 'bigint') sums.set(line, sum + BigInt(value))
    else sums.set(line, sum + Number(value))
  }
  return [...sums]
    .filter(([, value]) => Number(value) !== 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([line, value]) => `${line} ${value}\n`)
    .join('')
}

function decodeText(bytes: Uint8Array): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe
      ? 'utf-16le'
      : bytes[0] === 0xfe && bytes[1] === 0xff
        ? 'utf-16be'
        : 'utf-8'
  return new TextDecoder(encoding).decode(bytes)
}

function parseCount(text: string): bigint | null {
  if (/^-?\d{1,19}$/.test(text)) {
    const count = BigInt(text)
    return count === BigInt.asIntN(64, count) ? count : null
  }
  if (/^-?\d{1,15}\.\d{1,20}$/.test(text)) return BigInt(Math.round(Number(text)))
  return null
}
