import { readdirSync, readFileSync } from 'node:fs'

// USER_HZ, which /proc counts in, is 100 on every Linux that Node runs on.
const ticksPerSecond = 100

/** CPU seconds of a process, of its living descendants and of the children it waited for. */
export function treeCpuSeconds(pid: number): number {
  let ticks = 0
  for (const each of [pid, ...descendants(pid)]) {
    const fields = statFields(each)
    // Fields 14 to 17 of proc(5): own user and system time, and that of children waited for.
    for (let at = 11; at < 15; at++) ticks += Number(fields[at] ?? 0)
  }
  return ticks / ticksPerSecond
}

/** Seconds that all CPUs of the machine were busy since boot. */
export function busyCpuSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq) / ticksPerSecond
}

/** Private memory that no file backs, of a process and its descendants. */
export function treeAnonymousBytes(pid: number): number {
  let kilobytes = 0
  for (const each of [pid, ...descendants(pid)]) {
    const status = readFileSync(`/proc/${each}/status`, 'utf8')
    kilobytes += Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
  }
  return kilobytes * 1024
}

/** Memory that a process holds, with what files back; 0 when it is gone. */
export function residentBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Memory of the BPF maps that a process holds, each map once. */
export function bpfMapBytes(pid: number): number {
  const maps = new Map<string, number>()
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')
    const id = /^map_id:\s+(\d+)/m.exec(text)?.[1]
    if (id) maps.set(id, Number(/^memlock:\s+(\d+)/m.exec(text)?.[1] ?? 0))
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** Living processes whose parent a process is. */
function children(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(each => Number(statFields(each)[1]) === pid)
}

function descendants(pid: number): number[] {
  return children(pid).flatMap(each => [each, ...descendants(each)])
}

/** Fields of /proc/PID/stat after the command, whose name may hold spaces: state, parent, ... Empty when gone. */
function statFields(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
