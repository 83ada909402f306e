/**
 * npm run oracle [-- NAMES...]: names 1,000 addresses of each of some 20 binaries by the agent's code, by GNU
 * binutils and by LLVM. Ends with 1 when an answer agrees with neither and no class explains it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findBinaries } from './binaries.ts'
import { type AgreementClass, classes } from './compare.ts'
import { buildAgentNamer, compareBinary } from './oracle.ts'

const addresses = 1000
const shown = 3
const folder = mkdtempSync(join(tmpdir(), 'strobe-oracle-'))
try {
  const names = process.argv.slice(2)
  const namer = buildAgentNamer()
  const { binaries, missing } = findBinaries(folder, names.length > 0 ? names : undefined)
  const columns = Object.keys(classes) as AgreementClass[]
  const row = (cells: (string | number)[]) =>
    console.log(
      cells.map((cell, at) => (at === 0 ? String(cell).padEnd(22) : String(cell).padStart(9))).join(' '),
    )
  row(['binary', ...columns, 'other'])
  let unexplained = 0
  for (const binary of binaries) {
    const comparison = await compareBinary(namer, binary, addresses)
    row([
      binary.name,
      ...columns.map(column => comparison.counts[column] ?? 0),
      comparison.unexplained.length,
    ])
    for (const text of comparison.unexplained.slice(0, shown)) console.log(text)
    unexplained += comparison.unexplained.length
  }
  console.log('')
  for (const column of columns) console.log(`${column.padEnd(9)} ${classes[column]}`)
  if (missing.length > 0) console.log(`not on this machine: ${missing.join(', ')}`)
  console.log(
    `${binaries.length} binaries, ${binaries.length * addresses} addresses, ${unexplained} unexplained`,
  )
  if (unexplained > 0) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true })
}
