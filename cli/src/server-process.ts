import { type ChildProcess, spawn } from 'node:child_process'
import { chownSync, createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CliError } from './command.ts'

/** The user behind sudo; null when the process runs as who started it. */
export interface InvokingUser {
  uid: number
  gid: number
}

export interface ServerProcess {
  url: string
  /** host:port */
  grpcAddress: string
  /** Resolves with the exit code when the process is gone, whatever ended it. */
  ended: Promise<number>
  /** Lets it store what it has; again is harmless. */
  stop(): void
  /** Ends it at once. */
  kill(): void
}

/** Under sudo: the user whose files and whose server this is. root itself, without sudo, stays root. */
export function findInvokingUser(env: Record<string, string | undefined>, uid: number): InvokingUser | null {
  const [sudoUid, sudoGid] = [Number(env.SUDO_UID), Number(env.SUDO_GID)]
  if (uid !== 0 || !Number.isInteger(sudoUid) || !Number.isInteger(sudoGid) || sudoUid <= 0) return null
  return { uid: sudoUid, gid: sudoGid }
}

/** Makes the data folder and gives it to its user. */
export function prepareFolder(folder: string, user: InvokingUser | null): void {
  const made = mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (!user || made === undefined) return
  // Everything from the first new folder down to the last.
  let path = folder
  for (;;) {
    chownSync(path, user.uid, user.gid)
    if (path === made) return
    path = join(path, '..')
  }
}

/**
 * Starts `strobe server` in a process of its own, as the invoking user, and waits until it answers. Its log
 * goes to server.log in the data folder; it ends when this process does.
 * Throws CliError with what the server said when it does not start.
 */
export async function startServerProcess(
  flags: string[],
  dataDir: string,
  user: InvokingUser | null,
): Promise<ServerProcess> {
  const logFile = join(dataDir, 'server.log')
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 })
  if (user) log.once('open', () => chownSync(logFile, user.uid, user.gid))
  const child = spawn(
    process.execPath,
    ['--title=strobe-server', fileURLToPath(new URL('./main.ts', import.meta.url)), 'server', ...flags],
    {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // A group of its own: Ctrl-C reaches it through us, after the agent has sent its last window.
      detached: true,
      ...(user ? { uid: user.uid, gid: user.gid } : {}),
    },
  )
  child.stderr!.pipe(log)
  const said = collectSentences(child)
  const ended = new Promise<number>(resolve => {
    child.once('error', () => resolve(1))
    child.once('close', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
  })
  const ready = new Promise<{ url: string; grpcAddress: string }>((resolve, reject) => {
    child.once('message', message => resolve(message as { url: string; grpcAddress: string }))
    child.once('error', error => reject(new CliError(`the server did not start: ${error.message}`)))
    ended.then(code =>
      reject(
        new CliError(
          said().replace(/^strobe: /, '') || `the server ended with exit code ${code}; see ${logFile}`,
        ),
      ),
    )
  })
  const { url, grpcAddress } = await ready
  return {
    url,
    grpcAddress,
    ended,
    stop: () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    },
    kill: () => child.kill('SIGKILL'),
  }
}

/** The last lines on stderr that are not log records. */
function collectSentences(child: ChildProcess): () => string {
  let tail = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-8000)
  })
  return () =>
    tail
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('{'))
      .slice(-3)
      .join('\n')
}
