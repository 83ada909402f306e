import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CodedError } from './errors.ts'

/**
 * Keeps other servers out of a data folder while this one lives: two would replay each other's journal. Returns
 * what gives it back. Throws DATA_LOCKED, which names the process.
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const file = join(dataDir, 'server.lock')
  const own = `${process.pid} ${await startTicks(process.pid)}`
  for (;;) {
    try {
      await writeFile(file, own, { flag: 'wx', mode: 0o600 })
      return () => rm(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = await readFile(file, 'utf8').catch(() => '')
    const [pid = '', ticks = ''] = holder.split(' ')
    if (holder !== own && ticks !== '' && (await startTicks(Number(pid))) === ticks)
      throw new CodedError(
        'DATA_LOCKED',
        `the data folder ${dataDir} is in use by another server (pid ${pid}); stop that one, or choose another folder with --data`,
        { dataDir, pid: Number(pid) },
      )
    // Its process is gone, or another one has its number now.
    await rm(file, { force: true })
  }
}

/** When a process started, as the kernel counts; '' when there is none. */
async function startTicks(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // A process that ended and was not waited for holds nothing.
  return fields[0] === 'Z' ? '' : (fields[19] ?? '')
}
