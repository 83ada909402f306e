// Running the programs that set-up needs, as the user who asked for it.
import { spawn, spawnSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Under sudo, whoever called it: what npm, make and vite write must belong to that user, not to root.
 * Empty otherwise.
 */
export function invoker() {
  const uid = Number(process.env.SUDO_UID)
  const gid = Number(process.env.SUDO_GID)
  return process.getuid?.() === 0 && uid > 0 ? { uid, gid } : {}
}

/** PATH with the project's own Node first. */
export function projectEnv() {
  return { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}:/usr/sbin:/sbin` }
}

/**
 * Runs a command quietly into a log file; on failure its last lines are shown and an error is thrown.
 * as: {} for this process's user, or invoker().
 */
export async function runLogged(command, args, { log, as = {}, cwd = root, env = projectEnv() }) {
  const output = createWriteStream(log, { flags: 'a' })
  const tail = []
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...as })
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      output.write(chunk)
      tail.push(String(chunk))
      while (tail.length > 200) tail.shift()
    })
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  output.end()
  if (code !== 0) {
    const lines = tail.join('').trimEnd().split('\n').slice(-40).join('\n')
    throw new Error(`${command} ${args.join(' ')} ended with ${code} (whole output: ${log})\n${lines}`)
  }
}

/** Standard output of a command, or null when it failed or is not there. */
export function outputOf(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', env: projectEnv(), cwd: root })
  return result.status === 0 ? result.stdout : null
}
