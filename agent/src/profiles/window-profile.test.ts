import { expect, test } from 'vitest'
import type { NativeFile } from '../bpf/native.ts'
import {
  jitFrame,
  kernelFrame,
  nativeFrame,
  nativeProcess,
  nativeWindow,
  type TestSample,
} from '../testing.ts'
import { decodeFrameWords, type FrameWord } from './frame-words.ts'
import { type JitNames, readJitNames } from './jit-names.ts'
import { type FrameLine, SymbolCache } from './symbol-cache.ts'
import { buildWindowProfile } from './window-profile.ts'

const resultNames = ['complete', 'complete', 'kernel_thread', 'truncated', 'no_process', 'no_mapping']
const files: NativeFile[] = [
  { id: 3, path: '/bin/api', buildId: 'abcd', lowestVaddr: 0x400000n, state: 'ready', reason: '' },
]

function nameByOffset(frame: FrameWord): FrameLine[] {
  const isNamed = frame.position % 2 === 0 && frame.kind !== 'jit'
  const name = `f${frame.position.toString(16)}`
  return isNamed ? [{ name, systemName: '', file: '', line: 0, startLine: 0 }] : []
}

/** Builds the body of two services; functions are named by their offset, odd ones have no name. */
async function buildText(
  samples: TestSample[],
  lost = 0,
  linesOf = nameByOffset,
  jitNames: JitNames = new Map(),
) {
  const processes = [nativeProcess({ pid: 1 }), nativeProcess({ pid: 2 }), nativeProcess({ pid: 3 })]
  const { profile, series } = await buildWindowProfile({
    window: nativeWindow(processes, samples),
    observed: {
      series: [
        { labels: [['service_name', 'a']], expected: 0 },
        { labels: [['service_name', 'b']], expected: 0 },
      ],
      seriesOfProcess: Int32Array.of(0, 0, 1),
      omittedIdleSeries: 0,
      refusedSamples: 0,
    },
    files: new Map(files.map(file => [file.id, file])),
    symbolize: async frames =>
      frames.map(frame => {
        return { lines: linesOf(frame), address: 0n }
      }),
    jitNames,
    periodNs: 1000,
    timeUnixNanos: 5n,
    resultNames,
    lost,
  })
  const text: string[] = []
  for (let sample = 0; sample < profile.values.length; sample++) {
    const stack = [
      ...profile.stackLocation.subarray(profile.stackOffset[sample], profile.stackOffset[sample + 1]),
    ]
    const names = stack.map(location => {
      const lines: string[] = []
      for (let line = profile.lineOffset[location]!; line < profile.lineOffset[location + 1]!; line++) {
        const { name, file, startLine } = profile.functions[profile.lineFunction[line]!]!
        lines.push(file === '' ? name : `${name}:${startLine} (${file}:${profile.lineNumber[line]})`)
      }
      if (lines.length > 0) return lines.join(' in ')
      const mapping = profile.mappings[profile.locationMapping[location]!]!
      return `${mapping.file}@0x${profile.locationAddress[location]!.toString(16)}`
    })
    const labels: string[] = []
    for (let at = profile.labelOffset[sample]!; at < profile.labelOffset[sample + 1]!; at++) {
      const string = profile.labelString[at]!
      labels.push(string < 0 ? String(profile.labelNumber[at]) : profile.labelStrings[string]!)
    }
    text.push(`${labels.join(' ')}: ${names.join(' < ')} = ${profile.values[sample]}`)
  }
  return { text, series, profile }
}

test('samples of the processes of a series are one, of two series are two', async () => {
  const stack = [nativeFrame(3, 0x10), nativeFrame(3, 0x20)]
  const { text, profile } = await buildText([
    { process: 0, stack, count: 2, thread: 'main' },
    { process: 1, stack: [...stack], count: 3, thread: 'main' },
    { process: 2, stack, count: 4 },
  ])
  expect(text).toEqual(['0 main: f10 < f20 = 5000', '1: f10 < f20 = 4000'])
  expect(profile.locationAddress).toHaveLength(2)
  expect(profile.locationAddress[0]).toBe(0x400010n)
  expect(profile.mappings).toEqual([
    { start: 0n, limit: 0xffffffffffffffffn, offset: 0n, file: '/bin/api', buildId: 'abcd' },
  ])
})

test('an inlined call is a line of its caller, and a function has its file and first line', async () => {
  const inlined = [
    { name: 'inner', systemName: '_Z5innerv', file: 'a.h', line: 7, startLine: 5 },
    { name: 'outer', systemName: '_Z5outerv', file: 'a.cc', line: 40, startLine: 33 },
  ]
  const elsewhere = [{ ...inlined[1]!, line: 41 }]
  const { text, profile } = await buildText(
    [{ process: 0, stack: [nativeFrame(3, 0x10), nativeFrame(3, 0x20)] }],
    0,
    frame => (frame.position === 0x10 ? inlined : elsewhere),
  )
  expect(text).toEqual(['0: inner:5 (a.h:7) in outer:33 (a.cc:40) < outer:33 (a.cc:41) = 1000'])
  expect(profile.functions.map(({ systemName }) => systemName)).toEqual(['_Z5innerv', '_Z5outerv'])
})

test('kernel frames keep their address, JIT frames are one', async () => {
  const { text, profile } = await buildText([
    {
      process: 0,
      stack: [
        ...kernelFrame(0xffffffff81000010n),
        ...jitFrame(0x7f00n),
        ...jitFrame(0x7f10n),
        nativeFrame(3, 0x20),
      ],
    },
  ])
  expect(text).toEqual(['0: fffff81000010 < [jit] < f20 = 1000'])
  expect(profile.mappings.map(mapping => mapping.file)).toEqual(['[kernel.kallsyms]', '[anon]', '/bin/api'])
  expect(profile.locationAddress[0]).toBe(0xffffffff81000010n)
})

test('JIT frames are named by the map of their own process', async () => {
  const stack = [...jitFrame(0x7f00n), ...jitFrame(0x7f10n), nativeFrame(3, 0x20)]
  const samples = [
    { process: 0, stack },
    { process: 1, stack: [...stack] },
    { process: 2, stack: [...stack] },
  ]
  const processes = [nativeProcess({ pid: 1 }), nativeProcess({ pid: 2 }), nativeProcess({ pid: 3 })]
  const names = await readJitNames(nativeWindow(processes, samples), {
    name: async (pid, _start, _nsPid, pcs) =>
      Array.from(pcs, pc =>
        pid === 3 || (pid === 2 && pc === 0x7f10n) ? '' : `js${pid}-${pc.toString(16)}`,
      ),
  })
  const { text, series } = await buildText(samples, 0, nameByOffset, names)
  expect(text).toEqual([
    '0: js1-7f00 < js1-7f10 < f20 = 1000',
    '0: js2-7f00 < [jit] < f20 = 1000',
    '1: [jit] < f20 = 1000',
  ])
  expect(series.map(({ unsymbolized }) => unsymbolized)).toEqual([0, 1])
})

test('a stack that does not reach its root says so and is counted', async () => {
  const { text, series } = await buildText([
    { process: 0, stack: [nativeFrame(3, 0x10)], result: 3, count: 5 },
    { process: 0, stack: [nativeFrame(3, 0x10)], result: 5 },
    { process: 0, stack: [], result: 4 },
    { process: 0, stack: kernelFrame(0xffffffff81000010n), result: 2 },
  ])
  expect(text).toEqual([
    '0: f10 < [truncated] = 5000',
    '0: f10 < [incomplete: no mapping] = 1000',
    '0: [incomplete: no process] = 1000',
    '0: fffff81000010 = 1000',
  ])
  expect(series[0]).toEqual({ samples: 8, lost: 0, truncated: 7, unsymbolized: 0 })
})

test('a frame without a name keeps build id and address; only leaves count', async () => {
  const { text, series } = await buildText([
    { process: 0, stack: [nativeFrame(3, 0x11), nativeFrame(3, 0x20)], count: 3 },
    { process: 0, stack: [nativeFrame(3, 0x20), nativeFrame(3, 0x11)] },
  ])
  expect(text[0]).toBe('0: /bin/api@0x400011 < f20 = 3000')
  expect(series[0]!.unsymbolized).toBe(3)
})

test('lost samples are shared by what arrived, and their sum stays', async () => {
  const stack = [nativeFrame(3, 0x10)]
  const { series } = await buildText(
    [
      { process: 0, stack, count: 2 },
      { process: 2, stack, count: 1 },
    ],
    10,
  )
  expect(series.map(counts => counts.lost)).toEqual([7, 3])
})

test('a word of an unknown kind is refused', () => {
  expect(() => decodeFrameWords(BigUint64Array.of(0xf000000000000000n), 0, 1)).toThrow(
    expect.objectContaining({ code: 'FRAME_WORD_INVALID' }),
  )
  expect(() => decodeFrameWords(BigUint64Array.of(2n << 60n), 0, 1)).toThrow(
    expect.objectContaining({ code: 'FRAME_WORD_INVALID' }),
  )
})

test('the largest file and offset survive', () => {
  const [frame] = decodeFrameWords(BigUint64Array.of(nativeFrame(0xffffff, 0xfffffffff)), 0, 1)
  expect(frame).toMatchObject({ kind: 'native', fileId: 0xffffff, position: 0xfffffffff })
})

test('names stay within their bytes and those looked up last stay longest', () => {
  const cache = new SymbolCache(2000)
  const line = { name: 'x'.repeat(40), systemName: '', file: '', line: 0, startLine: 0 }
  const symbol = { lines: [line], address: 1n }
  for (let position = 0; position < 100; position++) {
    cache.set(1, position, symbol)
    expect(cache.bytes).toBeLessThanOrEqual(2000)
    expect(cache.get(1, 0)).toBeDefined()
  }
  expect(cache.get(1, 50)).toBeUndefined()
})
