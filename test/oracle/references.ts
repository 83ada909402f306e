import { spawn } from 'node:child_process'

/** A function and the place in it; '' and 0 when unknown. */
export interface Level {
  name: string
  file: string
  line: number
}

/** Levels of an address, innermost first. */
export type Chain = Level[]

async function outputOf(program: string, args: string[], input: string): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', chunk => chunks.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`)
  return Buffer.concat(chunks).toString('latin1')
}

const hex = (address: bigint) => `0x${address.toString(16)}`

function levelOf(name: string, place: string): Level {
  const [, file = '', line = ''] = /^(.*?):(\d+|\?)(?::\d+)?(?: \(discriminator \d+\))?$/.exec(place) ?? []
  return { name: name === '??' ? '' : name, file: file === '??' ? '' : file, line: Number(line) || 0 }
}

/** GNU binutils. */
export async function readAddr2line(path: string, addresses: readonly bigint[]): Promise<Chain[]> {
  const output = await outputOf('addr2line', ['-a', '-i', '-f', '-e', path], addresses.map(hex).join('\n'))
  const chains: Chain[] = []
  const lines = output.split('\n')
  for (let at = 0; at + 1 < lines.length; at++) {
    if (/^0x[0-9a-f]{16}$/.test(lines[at]!)) chains.push([])
    else chains.at(-1)!.push(levelOf(lines[at]!, lines[++at]!))
  }
  return chains
}

/** LLVM. */
export async function readSymbolizer(path: string, addresses: readonly bigint[]): Promise<Chain[]> {
  const args = ['--functions=linkage', '--inlines', '--no-demangle', `--obj=${path}`]
  const output = await outputOf('llvm-symbolizer', args, addresses.map(hex).join('\n'))
  const blocks = output.trimEnd().split('\n\n')
  return blocks.map(block => {
    const lines = block.split('\n')
    return Array.from({ length: lines.length >> 1 }, (_, at) => levelOf(lines[2 * at]!, lines[2 * at + 1]!))
  })
}

/** agent/native/tests/tools/name_addresses.cc: the agent's own code. */
export async function readAgent(
  program: string,
  path: string,
  addresses: readonly bigint[],
): Promise<Chain[]> {
  const output = await outputOf(program, [path], addresses.map(one => `0 ${hex(one)}\n`).join(''))
  const chains: Chain[] = []
  let chain: Chain = []
  for (const line of output.split('\n')) {
    if (line === '') {
      chains.push(chain)
      chain = []
      continue
    }
    const [name = '', linkageName = '', file = '', number = ''] = line.split('\t')
    chain.push({ name: linkageName || name, file, line: Number(number) })
  }
  return chains
}
