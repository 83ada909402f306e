import { spawnSync } from 'node:child_process'
import { listFiles, root } from './files.ts'

/** Output lines of a tool that failed, none when it passed. */
function run(command: string, args: string[]): string[] {
  const env = { ...process.env, PATH: `${root}node_modules/.bin:${process.env.PATH}`, NO_COLOR: '1' }
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', env, maxBuffer: 64 << 20 })
  if (result.error) return [`${command}: ${result.error.message}`]
  if (result.status === 0) return []
  const lines = `${result.stdout}${result.stderr}`.split('\n').filter(line => line.trim() !== '')
  return lines.length > 0 ? lines : [`${command} ended with ${result.status}`]
}

export const checkFormatAndLint = () => run('biome', ['ci', '--colors=off', '--max-diagnostics=60', '.'])

export const checkTypes = () => [
  ...run('tsc', ['-p', 'tsconfig.json']),
  ...run('tsc', ['-p', 'ui/tsconfig.json']),
]

export const checkDeadCode = () => run('knip', ['--no-progress'])

export function checkNativeFormat(): string[] {
  const hasFormatter = spawnSync('clang-format-19', ['--version']).status === 0
  if (!hasFormatter) {
    console.log('     not run: clang-format-19 is not installed (npm run setup -- --test)')
    return []
  }
  return run('clang-format-19', [
    '--dry-run',
    '--Werror',
    ...listFiles('agent/native/*.cc', 'agent/native/*.h', 'bpf/*.c', 'bpf/*.h'),
  ])
}
