import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface Up {
  address: string
  output(): string
  getJson<T>(path: string): Promise<T>
  /** Process ids below `strobe up` whose command line matches. */
  pidsOf(pattern: RegExp): number[]
  stop(): Promise<number | null>
}

/** Starts `strobe up` as a user would, on free ports, and waits until it says where the page is. */
export async function startUp(dataDir: string, ...flags: string[]): Promise<Up> {
  const args = ['cli/src/main.ts', 'up', '--port', '0', '--grpc-port', '0', '--data', dataDir, ...flags]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const address = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', chunk => {
        output += chunk
        const found = /http:\/\/localhost:\d+/.exec(output)
        if (found) resolve(found[0].replace('localhost', '127.0.0.1'))
      })
    child.once('exit', code => reject(new Error(`strobe up ended with ${code}: ${output}`)))
  })
  return {
    address,
    output: () => output,
    getJson: async <T>(path: string) => (await (await fetch(`${address}/api/v1/${path}`)).json()) as T,
    pidsOf: pattern => descendants(child.pid ?? 0).filter(pid => pattern.test(commandLine(pid))),
    stop: () => end(child),
  }
}

async function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null) {
    child.kill('SIGINT')
    await once(child, 'exit')
  }
  return child.exitCode
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

function descendants(ancestor: number): number[] {
  const parents = new Map<number, number>()
  for (const entry of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
    try {
      const stat = readFileSync(join('/proc', entry, 'stat'), 'utf8')
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // Ended while we looked.
    }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid)
    return parent !== undefined && (parent === ancestor || isBelow(parent))
  }
  return [...parents.keys()].filter(isBelow)
}

/** Polls until `read` gives something; what a failed read said is part of the error. */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await read()
      if (value !== undefined) return value
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`never came: ${what}`, { cause: last })
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}
