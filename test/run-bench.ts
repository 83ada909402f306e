import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'vitest'

export const benchProgram = fileURLToPath(new URL('../bench/main.ts', import.meta.url))

/** Figures by name: all numbers, whatever they say at this scale. */
export async function runBench(name: string): Promise<Map<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-bench-test-'))
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [
      benchProgram,
      name,
      '--smoke',
      '--results',
      folder,
    ])
    const lines = stdout.trim().split('\n')
    for (const line of lines)
      expect(line).toMatch(/^[a-z0-9_]+ -?\d[\d.e-]* \S+ (-|[<>]=\d[\d.e-]*) (ok|short|-)$/)
    const file = readdirSync(folder).find(each => each.endsWith(`-${name}.json`))!
    const record = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    expect(record).toMatchObject({ bench: name, scale: 'smoke', machine: { cores: expect.any(Number) } })
    expect(record.figures.map((figure: { name: string }) => figure.name)).toEqual(
      lines.map(line => line.split(' ')[0]),
    )
    return new Map(lines.map(line => [line.split(' ')[0]!, Number(line.split(' ')[1])]))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
