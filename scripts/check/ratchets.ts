/** Counts that only fall: what we allow ourselves today and want less of tomorrow. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles, readText, root } from './files.ts'

const limitsPath = 'scripts/check/ratchets.json'
const longFileLines = 500

interface Ratchets {
  counts: Record<string, number>
  /** Files over the limit, each with the reason why it may stay long. */
  longFiles: Record<string, { lines: number; reason: string }>
}

const code = ['*.ts', '*.tsx', '*.mjs', '*.cc', '*.h', '*.c']
const patterns: Record<string, RegExp> = {
  'skipped tests': /\b(?:it|test|describe)\.(?:skip|todo|only)\b/g,
  any: /(?::|\bas|<)\s*any\b/g,
  'rules switched off': /biome-ignore|@ts-(?:ignore|expect-error|nocheck)|NOLINT/g,
  'TODO without an issue': /\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))/g,
}

export function checkRatchets(): string[] {
  const limits = JSON.parse(readText(limitsPath)) as Ratchets
  const problems: string[] = []
  const files = listFiles(...code).filter(
    path => !path.startsWith('proto/gen/') && !path.startsWith('scripts/check/'),
  )
  const counts = Object.fromEntries(Object.keys(patterns).map(name => [name, 0]))
  const where: Record<string, string[]> = {}
  const lengths: Record<string, number> = {}
  for (const path of files) {
    const text = readText(path)
    for (const [name, pattern] of Object.entries(patterns)) {
      if (name === 'any' && !/\.tsx?$/.test(path)) continue
      const found = text.match(pattern)?.length ?? 0
      counts[name] = (counts[name] ?? 0) + found
      if (found > 0) where[name] = [...(where[name] ?? []), `${path} (${found})`]
    }
    const lines = text.split('\n').length - 1
    if (lines > longFileLines) lengths[path] = lines
  }
  let hasFallen = false
  for (const [name, count] of Object.entries(counts)) {
    const limit = limits.counts[name] ?? 0
    if (count > limit)
      problems.push(`${name}: ${count}, at most ${limit} (${limitsPath}): ${where[name]?.join(', ')}`)
    if (count < limit) {
      limits.counts[name] = count
      hasFallen = true
    }
  }
  for (const [path, lines] of Object.entries(lengths)) {
    const entry = limits.longFiles[path]
    if (!entry)
      problems.push(
        `${path} has ${lines} lines, over ${longFileLines}: split it, or list it with a reason in ${limitsPath}`,
      )
    else if (lines > entry.lines)
      problems.push(`${path} has grown to ${lines} lines from ${entry.lines} (${limitsPath})`)
    else if (lines < entry.lines) {
      entry.lines = lines
      hasFallen = true
    }
  }
  for (const path of Object.keys(limits.longFiles))
    if (lengths[path] === undefined) {
      delete limits.longFiles[path]
      hasFallen = true
    }
  if (hasFallen && problems.length === 0) {
    writeFileSync(join(root, limitsPath), `${JSON.stringify(limits, null, 2)}\n`)
    console.log(`     ${limitsPath} lowered: commit it`)
  }
  return problems
}
