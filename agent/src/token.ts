import { readFileSync } from 'node:fs'
import { AgentError } from './errors.ts'

/**
 * The key for the server: of the file, else STROBE_TOKEN, else ''. Throws TOKEN_UNREADABLE for a file that is
 * named and holds none.
 */
export function readAgentToken(file: string, env: Record<string, string | undefined>): string {
  if (file === '') return (env.STROBE_TOKEN ?? '').trim()
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new AgentError(
      'TOKEN_UNREADABLE',
      `the file ${file} with the key for the server cannot be read (${(error as Error).message}); name another with --token-file or STROBE_TOKEN_FILE`,
      error,
    )
  }
  if (/^\S+$/.test(text)) return text
  throw new AgentError(
    'TOKEN_UNREADABLE',
    `the file ${file} holds no key; it should have one line, as strobe admin keys create prints it`,
  )
}
