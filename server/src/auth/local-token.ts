import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** In the data folder. */
const fileName = 'admin-token.json'

/**
 * Leaves a token of this run in the data folder, for its owner only: who may read the store's files may also
 * administer it, and so make the first key. port: of the HTTP API, so that the token is sent nowhere else.
 */
export async function writeLocalToken(dataDir: string, port: number): Promise<string> {
  const token = randomBytes(32).toString('base64url')
  const file = join(dataDir, fileName)
  // A new file: an old one may have other rights.
  await rm(file, { force: true })
  await writeFile(file, `${JSON.stringify({ port, token })}\n`, { mode: 0o600, flag: 'wx' })
  return token
}

export async function removeLocalToken(dataDir: string): Promise<void> {
  await rm(join(dataDir, fileName), { force: true })
}
