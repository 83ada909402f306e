// npm start: set up, then server, pages and this host's agent in one command.
import { spawn } from 'node:child_process'
import { projectEnv, root } from './setup/run.mjs'
import { note } from './setup/say.mjs'
import { setup } from './setup.mjs'

let missing
try {
  // The demo needs no agent, so it asks for no system package.
  missing = await setup(process.argv.includes('--demo') ? [] : ['run'])
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
for (const sentence of missing) note(sentence)

const child = spawn('node_modules/.bin/node', ['cli/src/main.ts', 'up', ...process.argv.slice(2)], {
  cwd: root,
  env: projectEnv(),
  stdio: 'inherit',
})
// The terminal signals the whole group and npm passes the signal on once more: the child handles it, this
// process only outlives it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => signal === 'SIGTERM' && child.kill(signal))
child.once('error', error => {
  console.error(
    `cannot start the project's Node (${error.message}): remove node_modules and run npm start again`,
  )
  process.exit(1)
})
child.once('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
