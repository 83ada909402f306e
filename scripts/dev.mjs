// npm run dev: server and agent restart when their code changes, the page reloads itself.
import { spawn } from 'node:child_process'
import { projectEnv, root } from './setup/run.mjs'
import { say } from './setup/say.mjs'
import { setup } from './setup.mjs'

await setup(['run'])
const start = (command, args) => spawn(command, args, { cwd: root, env: projectEnv(), stdio: 'inherit' })
const children = [
  start('node', ['--watch', '--watch-preserve-output', 'cli/src/main.ts', 'up', ...process.argv.slice(2)]),
  start('node_modules/.bin/vite', ['build', 'ui', '--watch', '--logLevel', 'warn']),
]
say('restarts on change; reload the page after an edit of ui/')
const end = () => {
  for (const child of children) child.kill('SIGTERM')
}
process.on('SIGINT', end)
process.on('SIGTERM', end)
await Promise.all(children.map(child => new Promise(resolve => child.once('exit', resolve))))
