// Has anything changed since this step last ran? By content of the files git would commit, and of new ones.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './run.mjs'

function filesUnder(path) {
  const full = join(root, path)
  if (!existsSync(full)) return []
  if (statSync(full).isFile()) return [path]
  try {
    const text = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', path], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 64 << 20,
    })
    return text.split('\n').filter(Boolean)
  } catch {
    // A release tarball has no .git, and git refuses a clone of another user.
    return readdirSync(full, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && !/node_modules|\/(build|dist)(\/|$)/.test(`${entry.parentPath}/`))
      .map(entry => join(entry.parentPath, entry.name).slice(root.length))
  }
}

export function fingerprint(paths) {
  const hash = createHash('sha256')
  for (const file of paths.flatMap(filesUnder).sort()) {
    if (!existsSync(join(root, file))) continue
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0')
  }
  return hash.digest('hex')
}

/** Runs the step when the files under paths, or its product, differ from the last time it succeeded. */
export async function whenChanged(name, { paths, product }, step) {
  const folder = join(root, 'node_modules/.strobe')
  const stamp = join(folder, name)
  const now = fingerprint(paths)
  const before = existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''
  if (before === now && product.every(path => existsSync(join(root, path)))) return false
  await step()
  mkdirSync(folder, { recursive: true })
  writeFileSync(stamp, now)
  return true
}
