// npm run uninstall: ends what runs from this clone, deletes what set-up made, names what apt added.
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { packageLists } from './setup/packages.mjs'
import { root } from './setup/run.mjs'
import { note, say } from './setup/say.mjs'

const keepData = process.argv.includes('--keep-data')

/** Processes whose program is the Node of this clone, this one aside. */
function running() {
  const found = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      if (readlinkSync(`/proc/${entry}/exe`).startsWith(`${root}node_modules/`))
        found.push({
          pid: Number(entry),
          command: readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
        })
    } catch {
      // Gone, or another user's.
    }
  }
  return found.filter(each =>
    /cli\/src\/main\.ts|agent\/src\/main\.ts|server\/src\/|^strobe/.test(each.command),
  )
}

for (const { pid, command } of running()) {
  say(`ending ${pid}: ${command.slice(0, 80)}`)
  process.kill(pid, 'SIGTERM')
}
for (let turn = 0; turn < 100 && running().length > 0; turn++) await sleep(100)

const made = ['node_modules', 'agent/native/build', 'ui/dist', ...(keepData ? [] : ['.strobe'])]
for (const path of made.filter(path => existsSync(join(root, path)))) {
  say(`deleting ${path}`)
  rmSync(join(root, path), { recursive: true, force: true })
}
say('system packages that set-up may have added stay; to remove them:')
note(`apt-get remove ${[...packageLists.run, ...packageLists.test].join(' ')}`)
