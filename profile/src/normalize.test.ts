import { expect, test } from 'vitest'
import { buildCallTree } from './call-tree.ts'
import { columnStacks } from './column-stacks.ts'
import { functionId, functionStackId, labelsetId, namedFrameId, stackId } from './identity.ts'
import type { Profile } from './model.ts'
import { moduleOf, resolveStacks, SERIES_LABEL } from './normalize.ts'
import { decodePprof } from './pprof/decode.ts'
import { encodePprof } from './pprof/encode.ts'
import { dedent, formatTree, profileFromColumns } from './testing.ts'

function withLabels(
  profile: Profile,
  labels: [sample: number, key: string, value: string | bigint, unit?: string][],
): Profile {
  const labelStrings: string[] = []
  const position = (text: string) => {
    if (!labelStrings.includes(text)) labelStrings.push(text)
    return labelStrings.indexOf(text)
  }
  const samples = profile.stackOffset.length - 1
  const sorted = [...labels].sort((a, b) => a[0] - b[0])
  return {
    ...profile,
    labelOffset: Uint32Array.from(
      { length: samples + 1 },
      (_, i) => sorted.filter(label => label[0] < i).length,
    ),
    labelKey: Uint32Array.from(sorted, label => position(label[1])),
    labelString: Int32Array.from(sorted, label => (typeof label[2] === 'string' ? position(label[2]) : -1)),
    labelNumber: BigInt64Array.from(sorted, label => (typeof label[2] === 'bigint' ? label[2] : 0n)),
    labelUnit: Int32Array.from(sorted, label => (label[3] === undefined ? -1 : position(label[3]))),
    labelStrings,
  }
}

const twoStacks = `
  1     2     4     8
  main  main  main  main
  a     b     a     b`

test('equal stacks are summed', () => {
  const resolved = resolveStacks(profileFromColumns(twoStacks))
  expect([...resolved.values]).toEqual([5n, 10n])
  expect([...resolved.sampleStack]).toEqual([0, 1])
  expect(resolved.stackId[0]).toBe(stackId(BigUint64Array.from([resolved.frameId[0]!, resolved.frameId[1]!])))
})

test('series and labels keep samples apart; the series is no label', () => {
  const profile = withLabels(profileFromColumns(twoStacks), [
    [0, SERIES_LABEL, 0n],
    [2, SERIES_LABEL, 1n],
    [1, 'thread', 'x'],
    [3, 'thread', 'x'],
    [3, 'bytes', 64n, 'bytes'],
  ])
  const resolved = resolveStacks(profile)
  expect([...resolved.values]).toEqual([1n, 2n, 4n, 8n])
  expect([...resolved.sampleSeries]).toEqual([0, 0, 1, 0])
  expect([...resolved.sampleLabelset]).toEqual([0, 1, 0, 2])
  expect(resolved.labelsets[2]).toEqual([
    { name: 'bytes', value: '64', unit: 'bytes' },
    { name: 'thread', value: 'x', unit: null },
  ])
  expect(resolved.labelsetId[0]).toBe(0n)
  expect(resolved.labelsetId[2]).toBe(labelsetId(resolved.labelsets[2]!))
  expect([...columnStacks(resolved, 0, 1).values]).toEqual([4, 0])
  expect([...columnStacks(resolved, 0).values]).toEqual([5, 10])
})

test('a text without characters is no label', () => {
  const profile = withLabels(profileFromColumns(twoStacks), [[0, 'thread', '']])
  expect([...resolveStacks(profile).sampleLabelset]).toEqual([0, 0])
})

test('label sets past the limit become one, and their samples are counted', () => {
  const many = profileFromColumns(`
    1     2     4     8     16    32
    main  main  main  main  main  main`)
  const profile = withLabels(many, [
    ...[0, 1, 2, 3].map((id): [number, string, string] => [id, 'request', `r${id}`]),
    [4, SERIES_LABEL, 1n],
    [4, 'request', 'r3'],
    [5, 'text', 'x'.repeat(5_000)],
  ])
  const resolved = resolveStacks(profile, { maxLabelsets: 2 })
  const sets = [...resolved.sampleLabelset].map(set =>
    resolved.labelsets[set]!.map(label => `${label.name}=${label.value}`).join(),
  )
  expect(sets).toEqual(['request=r0', 'request=r1', 'strobe_folded=true', 'request=r3'])
  expect([...resolved.values]).toEqual([1n, 2n, 44n, 16n])
  expect(resolved.labelsFolded).toBe(3)
})

test('a sum that does not fit 64 bits stays two samples', () => {
  const profile = profileFromColumns(`
    1     2     3
    main  main  main`)
  const resolved = resolveStacks({ ...profile, values: BigInt64Array.of(2n ** 62n, 2n ** 62n, 5n) })
  expect([...resolved.values]).toEqual([2n ** 62n + 5n, 2n ** 62n])
  expect([...resolved.sampleStack]).toEqual([0, 0])
})

test('inlined callees come before their callers', () => {
  const profile = profileFromColumns(`
    7
    main
    outer`)
  // outer's location has an inlined callee: lines are innermost first.
  const inlined: Profile = {
    ...profile,
    functions: [...profile.functions, { name: 'inner', systemName: 'inner', file: 'i.c', startLine: 3 }],
    lineOffset: Uint32Array.of(0, 2, 3),
    lineFunction: Int32Array.of(2, 0, 1),
    lineNumber: Uint32Array.of(5, 9, 1),
  }
  const stacks = columnStacks(resolveStacks(inlined), 0)
  expect(formatTree(buildCallTree(stacks, stacks.values, stacks.frames))).toBe(
    dedent(`
      all 7 0
        main 7 0
          outer 7 0
            inner 7 7`),
  )
})

test('ids do not depend on where strings, functions and other samples stand', () => {
  const one = resolveStacks(
    profileFromColumns(`
    1     2
    main  main
    a     b`),
  )
  const other = resolveStacks(
    profileFromColumns(`
    3     1     9
    x     main  main
    .     a     b`),
  )
  expect(other.stackId[1]).toBe(one.stackId[0])
  expect(other.fstackId[2]).toBe(one.fstackId[1])
})

test('a profile of text and its decoded bytes have the same ids, also beyond ASCII', () => {
  const text = profileFromColumns(`
    main@app  haupt@größe
    rün@app   läuft@größe`)
  const decoded = decodePprof(
    encodePprof({ ...text, functions: text.functions.map(fn => ({ ...fn, file: '/src/ä.c' })) }),
  )
  const one = resolveStacks(decoded)
  expect(one.functionId[0]).toBe(functionId('rün', 'rün', '/src/ä.c', 0, 'app'))
  expect(one.frameId[0]).toBe(namedFrameId(one.functionId[0]!, 0, ''))
  expect(one.stackId[0]).toBe(stackId(one.frameId.slice(0, 2)))
  expect(one.fstackId[0]).toBe(functionStackId(one.functionId.slice(0, 2)))
})

test('lines and builds change frames and stacks, not functions', () => {
  const build = (buildId: string, line: number): Profile => {
    const profile = profileFromColumns(`
      main@app
      run@app`)
    return {
      ...profile,
      mappings: [{ ...profile.mappings[0]!, buildId }],
      lineNumber: Uint32Array.of(line, 1),
    }
  }
  const before = resolveStacks(build('b1', 10))
  for (const after of [resolveStacks(build('b2', 10)), resolveStacks(build('b1', 11))]) {
    expect(after.functionId).toEqual(before.functionId)
    expect(after.fstackId).toEqual(before.fstackId)
    expect(after.frameId[0]).not.toBe(before.frameId[0])
    expect(after.stackId).not.toEqual(before.stackId)
  }
})

test('an unnamed frame is its address in the file, wherever the file was mapped', () => {
  const at = (start: bigint, address: bigint): Profile => {
    const profile = profileFromColumns('f@libx.so')
    return {
      ...profile,
      mappings: [{ start, limit: start + 0x10000n, offset: 0x1000n, file: '/usr/lib/libx.so', buildId: 'b' }],
      lineOffset: Uint32Array.of(0, 0),
      lineFunction: new Int32Array(0),
      lineNumber: new Uint32Array(0),
      locationAddress: BigUint64Array.of(address),
    }
  }
  const one = resolveStacks(at(0x7f0000000000n, 0x7f0000000234n))
  const two = resolveStacks(at(0x7f1234500000n, 0x7f1234500234n))
  expect(two.stackId).toEqual(one.stackId)
  expect(one.frameAddress[0]).toBe(0x1234n)
  expect(columnStacks(one, 0).frames[0]).toEqual({
    name: 'libx.so+0x1234',
    file: '',
    module: 'libx.so',
    kind: 'unsymbolized',
  })
  // Outside its mapping the address cannot be turned into one of the file.
  expect(resolveStacks(at(0x7f0000000000n, 0x50n)).frameAddress[0]).toBe(0x50n)
})

test.each([
  ['', ''],
  ['/usr/lib/x86_64-linux-gnu/libc.so.6', 'libc.so.6'],
  ['/app/server (deleted)', 'server'],
  ['[kernel.kallsyms]', '[kernel]'],
  ['[kernel.kallsyms]_text', '[kernel]'],
  ['[kernel]', '[kernel]'],
  ['/proc/kcore', '[kernel]'],
  ['[guest.kernel.kallsyms.123]', '[kernel]'],
  ['/usr/lib/debug/boot/vmlinux-6.1.0-18', '[kernel]'],
  ['[vdso]', '[vdso]'],
])('the module of "%s" is "%s"', (file, module) => {
  expect(moduleOf(file)).toBe(module)
})

test('kinds', () => {
  const profile = profileFromColumns('a@[kernel.kallsyms] b@perf-12.map c@app d@app e@[unwinder]')
  const files = ['', '', 'views.py', 'Main.java', '']
  const resolved = resolveStacks({
    ...profile,
    functions: profile.functions.map((fn, i) => ({ ...fn, file: files[i]! })),
  })
  expect(resolved.frameKind).toEqual(['kernel', 'jit', 'interpreted', 'jit', 'none'])
})
