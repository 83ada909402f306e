import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError, type CommandContext, exitCodes } from './command.ts'

/**
 * The key to send to a server, '' for none: --token-file, STROBE_TOKEN, STROBE_TOKEN_FILE, and for a server
 * of this machine the token that it left in its data folder for its own user.
 * Throws CliError when a file that was named cannot be read.
 */
export function readToken(base: URL, tokenFile: string | undefined, env: CommandContext['env']): string {
  if (tokenFile !== undefined) return readTokenFile(tokenFile, '--token-file')
  if (env.STROBE_TOKEN) return env.STROBE_TOKEN.trim()
  if (env.STROBE_TOKEN_FILE) return readTokenFile(env.STROBE_TOKEN_FILE, 'STROBE_TOKEN_FILE')
  return readLocalToken(base, env.STROBE_DATA || '.strobe')
}

function readTokenFile(file: string, source: string): string {
  let token: string
  try {
    token = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new CliError(`${source} ${file} cannot be read: ${(error as Error).message}`, exitCodes.usage, {
      cause: error,
    })
  }
  if (/^\S+$/.test(token)) return token
  throw new CliError(
    `${source} ${file} holds no key: it should have one line, as keys create prints it`,
    exitCodes.usage,
  )
}

/** Only for the port that the file names: whoever else listens on this machine does not get it. */
export function readLocalToken(base: URL, dataDir: string): string {
  if (!/^(127\.0\.0\.1|\[::1\]|localhost)$/.test(base.hostname)) return ''
  try {
    const { port, token } = JSON.parse(readFileSync(join(dataDir, 'admin-token.json'), 'utf8')) as {
      port?: unknown
      token?: unknown
    }
    return String(port) === (base.port || '80') && typeof token === 'string' ? token : ''
  } catch {
    return ''
  }
}
