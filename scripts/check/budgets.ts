/** Counts that must not grow unseen: more needs a new line in budgets.json, in the same commit. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { readText, root } from './files.ts'

type Budgets = Record<string, { limit: number; why: string }>

/** Gzipped bytes of the scripts that a page loads: its entry and what that imports without import(). */
function scriptBytes(entryPattern: RegExp): number | null {
  const assets = join(root, 'ui/dist/assets')
  if (!existsSync(assets)) return null
  const scripts = readdirSync(assets).filter(name => name.endsWith('.js'))
  const seen = new Set<string>()
  const visit = (name: string) => {
    if (seen.has(name)) return
    seen.add(name)
    const text = readFileSync(join(assets, name), 'utf8')
    for (const [, target] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) if (target) visit(target)
  }
  for (const name of scripts.filter(each => entryPattern.test(each))) visit(name)
  return [...seen].reduce(
    (sum, name) => sum + gzipSync(readFileSync(join(assets, name)), { level: 9 }).length,
    0,
  )
}

/** The most that the verifier had to go through for one program; null where this process may not load any. */
function verifierInstructions(): number | null {
  const launcher = join(root, 'agent/native/build/strobe-launch')
  if (!existsSync(launcher)) return null
  const { stdout } = spawnSync(launcher, ['--check'], { encoding: 'utf8' })
  const counts = [...stdout.matchAll(/verifier accepts it: (\d+) instructions/g)].map(match =>
    Number(match[1]),
  )
  return counts.length > 0 ? Math.max(...counts) : null
}

export function checkBudgets(): string[] {
  const budgets = JSON.parse(readText('scripts/check/budgets.json')) as Budgets
  const measured: Record<string, number | null> = {
    'services page script, gzip bytes': scriptBytes(/^(index|services)-/),
    'service page script, gzip bytes': scriptBytes(/^(index|services|service)-/),
    'verifier instructions': verifierInstructions(),
  }
  const problems: string[] = []
  for (const [name, value] of Object.entries(measured)) {
    const budget = budgets[name]
    if (value === null) console.log(`     not measured: ${name} (not built, or not root)`)
    else if (budget === undefined)
      problems.push(`${name}: ${value} has no budget in scripts/check/budgets.json`)
    else if (value > budget.limit) problems.push(`${name}: ${value}, over ${budget.limit} (${budget.why})`)
  }
  return problems
}
