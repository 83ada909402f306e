import { readFileSync } from 'node:fs'

export interface ProcessStat {
  parentPid: number
  /** Nanoseconds since boot, in steps of a clock tick. */
  startBoottime: bigint
  /** User and system time of all threads, the ended ones too, in nanoseconds. */
  cpuNs: number
}

/** 'hidden': the kernel refused (hidepid), so the process may live. */
export type ReadProcessStat = (pid: number) => ProcessStat | 'gone' | 'hidden'

// USER_HZ: the unit of /proc is 100 on x86-64 and arm64 whatever CONFIG_HZ is.
const tickNs = 10_000_000

/** Parses /proc/PID/stat. The name in parentheses may hold spaces and parentheses: fields start after the last. */
export function parseProcessStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    parentPid: Number(fields[1]),
    startBoottime: BigInt(fields[19] ?? 0) * BigInt(tickNs),
    cpuNs: (Number(fields[11]) + Number(fields[12])) * tickNs,
  }
}

export function readProcessStat(pid: number): ProcessStat | 'gone' | 'hidden' {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return code === 'ENOENT' || code === 'ESRCH' ? 'gone' : 'hidden'
  }
}
