// System packages: what running and testing Strobe take from Debian. Only what is listed, never an upgrade.
import { createInterface } from 'node:readline/promises'
import { outputOf, runLogged } from './run.mjs'
import { bold, note, say, seconds } from './say.mjs'

export const packageLists = {
  // The agent is compiled on the machine: BPF by clang, the addon and its programs by g++.
  run: [
    ...['clang-19', 'bpftool', 'g++', 'make', 'libbpf-dev', 'libelf-dev', 'zlib1g-dev', 'libiberty-dev'],
    ...['libdw-dev', 'liblzma-dev', 'libbz2-dev'],
  ],
  // What tests run against: other people's programs and languages.
  test: [
    ...['binutils', 'chromium', 'clang-format-19', 'git', 'golang-go', 'libc6-dbg', 'llvm', 'mmdebstrap'],
    ...['procps', 'rustc'],
  ],
}

function missing(names) {
  const text = outputOf('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n']) ?? ''
  const installed = new Set(
    text
      .split('\n')
      .filter(line => line.endsWith(' installed'))
      .map(line => line.split(' ')[0]),
  )
  return names.filter(name => !installed.has(name))
}

function sizes(names) {
  const text = outputOf('apt-cache', ['show', '--no-all-versions', ...names]) ?? ''
  const bytes = new Map()
  let name = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('Package: ')) name = line.slice(9)
    if (line.startsWith('Installed-Size: ')) bytes.set(name, Number(line.slice(16)) / 1024)
  }
  return names.map(each => `${each}${bytes.has(each) ? ` (${bytes.get(each).toFixed(0)} MB)` : ''}`)
}

const mayAsk = () => process.stdin.isTTY && process.stdout.isTTY && process.env.CI === undefined

/**
 * Installs what is missing of the named lists. As root at once; as a plain user after one question on a
 * terminal, and without one only the exact command is printed.
 * Returns the names that are still missing.
 */
export async function installPackages(lists, log) {
  const wanted = missing(lists.flatMap(list => packageLists[list]))
  if (wanted.length === 0) return []
  if (outputOf('apt-get', ['--version']) === null) {
    say(`needs ${wanted.length} system packages and this is not Debian or Ubuntu: ${wanted.join(' ')}`)
    return wanted
  }
  const command = `apt-get install -y --no-install-recommends ${wanted.join(' ')}`
  if (process.env.STROBE_SETUP === 'no') {
    say('would install system packages (STROBE_SETUP=no, so nothing is done):')
    note(command)
    return wanted
  }
  const isRoot = process.getuid?.() === 0
  let prefix = []
  if (!isRoot) {
    if (!(mayAsk() && outputOf('which', ['sudo']) !== null)) {
      say('needs system packages for profiling this host; run this once and start again:')
      note(`sudo apt-get update && sudo ${command}`)
      return wanted
    }
    say('needs system packages from Debian for profiling this host:')
    note(sizes(wanted).join('\n'))
    const terminal = createInterface({ input: process.stdin, output: process.stdout })
    const answer = await terminal.question(`       Install them with sudo now? ${bold('[Y/n]')} `)
    terminal.close()
    if (!/^(y|yes|)$/i.test(answer.trim())) return wanted
    prefix = ['sudo']
  }
  const since = performance.now()
  say(`installing ${wanted.length} system packages: ${wanted.join(' ')}`)
  const apt = async args => {
    const [program, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args]
    await runLogged(program, rest, { log })
  }
  const install = ['install', '-y', '--no-install-recommends', '--no-upgrade', ...wanted]
  // Old package lists name files that mirrors no longer have, and a fresh machine has no lists at all.
  await apt(['-qq', 'update'])
  await apt(install)
  say(`system packages installed in ${seconds(since)}`)
  return missing(wanted)
}
