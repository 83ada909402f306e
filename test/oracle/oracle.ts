import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Binary } from './binaries.ts'
import { type AgreementClass, classify } from './compare.ts'
import { type Chain, readAddr2line, readAgent, readSymbolizer } from './references.ts'

const native = fileURLToPath(new URL('../../agent/native', import.meta.url))

export interface Comparison {
  binary: string
  counts: Partial<Record<AgreementClass, number>>
  /** Addresses that no class explains, with the three answers. */
  unexplained: string[]
}

/** The program that names addresses by the agent's code, built. */
export function buildAgentNamer(): string {
  execFileSync('make', ['-C', native, 'dwarf', 'tools'], { stdio: 'pipe' })
  return join(native, 'build/name-addresses')
}

/** The same addresses in each run: a multiplicative congruential generator. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** Addresses in executable sections, spread evenly by size. */
function addressesOf(path: string, count: number): bigint[] {
  const output = execFileSync('readelf', ['-SW', path], { encoding: 'utf8' })
  const sections: { start: number; size: number }[] = []
  for (const [, start, size, flags] of output.matchAll(
    /^ *\[ *\d+\] \S+ +(?:PROGBITS|NOBITS) +([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +(\w+)/gm,
  ))
    if (flags!.includes('X'))
      sections.push({ start: Number.parseInt(start!, 16), size: Number.parseInt(size!, 16) })
  const total = sections.reduce((sum, section) => sum + section.size, 0)
  const random = randomNumbers(20_261_125)
  return Array.from({ length: count }, () => {
    let at = Math.floor(random() * total)
    for (const { start, size } of sections) {
      if (at < size) return BigInt(start + at)
      at -= size
    }
    return 0n
  })
}

/** Symbols without their versions, by name. */
function symbolsOf(path: string): Map<string, bigint> {
  const output = execFileSync('nm', [path], { encoding: 'latin1', maxBuffer: 1 << 30, stdio: 'pipe' })
  const symbols = new Map<string, bigint>()
  for (const [, address, name] of output.matchAll(/^([0-9a-f]{16}) \S ([^@\n]+)/gm))
    symbols.set(name!, BigInt(`0x${address}`))
  return symbols
}

const show = (chain: Chain) =>
  chain.map(({ name, file, line }) => `${name} ${file}:${line}`).join(' < ') || '(nothing)'

export async function compareBinary(namer: string, binary: Binary, count: number): Promise<Comparison> {
  const addresses = addressesOf(binary.path, count)
  const [agent, binutils, llvm] = await Promise.all([
    readAgent(namer, binary.path, addresses),
    readAddr2line(binary.debugPath, addresses),
    readSymbolizer(binary.debugPath, addresses),
  ])
  const symbols = symbolsOf(binary.debugPath)
  const comparison: Comparison = { binary: binary.name, counts: {}, unexplained: [] }
  for (const [at, address] of addresses.entries()) {
    const agreement = classify(agent[at]!, binutils[at]!, llvm[at]!, symbols)
    if (agreement) comparison.counts[agreement] = (comparison.counts[agreement] ?? 0) + 1
    else
      comparison.unexplained.push(
        [
          `${binary.name} 0x${address.toString(16)}`,
          `  agent    ${show(agent[at]!)}`,
          `  binutils ${show(binutils[at]!)}`,
          `  LLVM     ${show(llvm[at]!)}`,
        ].join('\n'),
      )
  }
  return comparison
}
