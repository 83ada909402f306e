import { readdir, readFile, readlink } from 'node:fs/promises'

export interface PortHolder {
  pid: number
  /** First words of its command line. */
  command: string
}

/** Who listens on a TCP port of this host; null when that cannot be read (another user's process). */
export async function findPortHolder(port: number): Promise<PortHolder | null> {
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6'])
    for (const inode of listeningInodes(await readFile(table, 'utf8').catch(() => ''), port))
      inodes.add(inode)
  if (inodes.size === 0) return null
  const links = new Set([...inodes].map(inode => `socket:[${inode}]`))
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue
    const folder = `/proc/${entry}/fd`
    for (const file of await readdir(folder).catch(() => [])) {
      const link = await readlink(`${folder}/${file}`).catch(() => '')
      if (!links.has(link)) continue
      const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
      return { pid: Number(entry), command: commandLine.split('\0').join(' ').trim().slice(0, 120) }
    }
  }
  return null
}

/** Inodes of sockets in state LISTEN (0A) on the port, from the text of /proc/net/tcp. */
export function listeningInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  return table
    .split('\n')
    .slice(1)
    .map(line => line.trim().split(/\s+/))
    .filter(columns => columns[3] === '0A' && columns[1]?.endsWith(`:${wanted}`))
    .map(columns => columns[9]!)
}
