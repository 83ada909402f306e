/** What generators make is committed as they make it: run them into memory and compare. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generatedTexts } from '../generate/texts.ts'
import { listFiles, readText, root } from './files.ts'

function checkProto(): string[] {
  const out = mkdtempSync(join(tmpdir(), 'strobe-proto-'))
  try {
    const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}` }
    execFileSync('buf', ['generate', '-o', out], { cwd: join(root, 'proto'), env, stdio: 'pipe' })
    return listFiles('proto/gen')
      .filter(path => readText(path) !== readFileSync(join(out, path.slice('proto/'.length)), 'utf8'))
      .map(path => `${path} differs from what buf generates: npm run generate`)
  } finally {
    rmSync(out, { recursive: true })
  }
}

export async function checkGenerated(): Promise<string[]> {
  const problems = checkProto()
  for (const [path, text] of Object.entries(await generatedTexts())) {
    const isSame = listFiles(path).length === 1 && readText(path) === text
    if (!isSame) problems.push(`${path} differs from what the code says: npm run generate`)
  }
  return problems
}
