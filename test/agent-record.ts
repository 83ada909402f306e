import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runHostCheck } from '@strobe/agent'

const root = fileURLToPath(new URL('..', import.meta.url))
const report = await runHostCheck()

/** For test titles: why tests that need the kernel are not run here, '' when they are. */
export const cannotProfile = report.ok
  ? ''
  : ` (not run: ${report.items.find(item => !item.ok && item.required)?.name} is missing, see strobe check)`

/** A folder of its own with the workloads named, built; the caller removes it. */
export function buildWorkloads(...names: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-workloads-'))
  const targets = names.map(name => join(folder, name))
  execFileSync('make', ['-C', join(root, 'test/workloads'), `BUILD=${folder}`, ...targets], { stdio: 'pipe' })
  return folder
}

export function workloadPath(name: string): string {
  return join(root, 'test/workloads', name)
}

export interface RecordRun {
  code: number
  stdout: string
  stderr: string
}

/** Runs `strobe record ARGS`. */
export function record(args: string[]): Promise<RecordRun> {
  const command = [join(root, 'cli/src/main.ts'), 'record', ...args]
  return new Promise(resolve => {
    execFile(process.execPath, command, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr })
    })
  })
}
