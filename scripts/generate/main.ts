/** npm run generate: message types from proto/, documents and offsets from the code that declares them. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generatedTexts } from './texts.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}` }
execFileSync('buf', ['generate'], { cwd: join(root, 'proto'), env, stdio: 'inherit' })
for (const [path, text] of Object.entries(await generatedTexts())) {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
  console.log(path)
}
