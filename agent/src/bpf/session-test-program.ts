/**
 * Run by session.test.ts under the launcher: profiles until a line comes on stdin, then prints what
 * it collected as one line of JSON. It is a program of its own because the launcher replaces itself by it.
 */
import { createInterface } from 'node:readline'

import { loadAddon } from './load-addon.ts'
import type { NativeWindow } from './native.ts'

const addon = loadAddon()
const session = addon.openSession({
  handles: JSON.parse(process.env.STROBE_HANDLES ?? 'null'),
  symbolCacheBytes: 64 * 1024 * 1024,
  dwarfBytes: 256 * 1024 * 1024,
  debugFolder: '',
})

function codeOf(action: () => void): string {
  try {
    action()
  } catch (error) {
    return (error as Error & { code?: string }).code ?? ''
  }
  return ''
}

async function namedStacks(window: NativeWindow) {
  const stacks = []
  for (const [sampleIndex, count] of window.sampleCount.entries()) {
    const stack = window.sampleStack[sampleIndex] ?? 0
    const words = window.stackWords.subarray(window.stackOffset[stack], window.stackOffset[stack + 1])
    const pairs: bigint[] = []
    for (let at = 0; at < words.length; ) {
      const header = words[at] ?? 0n
      const kind = Number(header >> 60n)
      pairs.push(header, kind === 1 ? 0n : (words[at + 1] ?? 0n))
      at += kind === 1 ? 1 : kind === 4 ? 3 : 2
    }
    const symbols = await session.symbolize(BigUint64Array.from(pairs))
    stacks.push({
      process: window.sampleProcess[sampleIndex],
      thread: window.threadNames[window.sampleThread[sampleIndex] ?? 0],
      result: addon.resultNames[window.sampleResult[sampleIndex] ?? 0],
      count,
      frames: Array.from(symbols.name, name => symbols.strings[name] || '?'),
    })
  }
  return stacks
}

session.start()
const secondStart = codeOf(() => session.start())
process.stdout.write('started\n')

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'stop') break
  const window = await session.collect()
  const answer = {
    processes: window.processes,
    stacks: await namedStacks(window),
    counters: window.counters,
    durationNs: window.endNs - window.startNs,
  }
  process.stdout.write(
    `${JSON.stringify(answer, (_key, value) => (typeof value === 'bigint' ? value.toString() : value))}\n`,
  )
}
/* An open pipe would keep this program alive. */
process.stdin.destroy()
await session.stop()
const last = await session.collect()
process.stdout.write(
  `${JSON.stringify({
    secondStart,
    lastSamples: last.sampleCount.reduce((sum, count) => sum + count, 0),
    totals: session.counters(),
    files: session.files().map(({ path, state, buildId }) => ({ path, state, buildId })),
  })}\n`,
)
