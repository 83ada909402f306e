import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { functionTotals } from '../call-tree.ts'
import { columnStacks } from '../column-stacks.ts'
import type { StrobeError } from '../errors.ts'
import type { Profile } from '../model.ts'
import { resolveStacks } from '../normalize.ts'
import { decodePprof } from '../pprof/decode.ts'
import { encodePprof } from '../pprof/encode.ts'
import { formatFunctions, stacksFromColumns } from '../testing.ts'
import { formatFolded, parseFolded } from './folded.ts'
import { formatSpeedscope, parseSpeedscope } from './speedscope.ts'

function read(file: string): Uint8Array {
  return readFileSync(new URL(`../../../test/data/conformance/${file}`, import.meta.url))
}

function functionsOf(profile: Profile): string {
  const stacks = columnStacks(resolveStacks(profile), 0)
  return formatFunctions(functionTotals(stacks, stacks.values, stacks.frames))
}

function foldedOf(profile: Profile): string {
  const stacks = columnStacks(resolveStacks(profile), 0)
  return formatFolded(stacks, stacks.values, stacks.frames)
}

// a;b;c 1+1+3, a;b;d 4, a;b 5.
const simple = 'b total 14 self 5, c total 5 self 5, d total 4 self 4, a total 14 self 0'

test.each([
  ['folded/simple.txt', 0],
  ['folded/simple-crlf.txt', 0],
  ['folded/simple-utf16-le.txt', 0],
  ['folded/simple-with-invalids.txt', 3],
])('%s', (file, skipped) => {
  const { profile, skippedLines } = parseFolded(read(file))
  expect(functionsOf(profile)).toBe(simple)
  expect(skippedLines).toBe(skipped)
  expect(foldedOf(profile)).toBe('a;b 5\na;b;c 5\na;b;d 4\n')
})

test('folded/recursion.txt: a recursive frame counts once', () => {
  const { profile } = parseFolded(read('folded/recursion.txt'))
  expect(profile.values).toHaveLength(10)
  // 10 lines of 1; all hold a but "b;b", all hold b but "a;a"; 4 end in c, 5 in b, 1 in a.
  expect(functionsOf(profile)).toBe('b total 9 self 5, c total 4 self 4, a total 9 self 1')
})

test('pprofutils.txt and its pprof are the same profile', () => {
  const { profile } = parseFolded(read('folded/pprofutils.txt'))
  expect(foldedOf(profile)).toBe('main;foo 5\nmain;foo;bar 3\nmain;foobar 4\n')
  expect(foldedOf(decodePprof(gunzipSync(read('pprof/folded-equivalent.pb.gz'))))).toBe(foldedOf(profile))
})

test('folded text becomes a pprof profile', () => {
  const { profile } = parseFolded('main;run 3\nmain 2\n', { type: 'cpu', unit: 'nanoseconds' })
  const again = decodePprof(encodePprof(profile))
  expect(again).toEqual(profile)
  expect(again.sampleTypes).toEqual([{ type: 'cpu', unit: 'nanoseconds' }])
})

test('odd folded lines', () => {
  const { profile, skippedLines } = parseFolded(
    '\ufeffmain;operator new(unsigned long) 2\n# note 7\n#private;x 1\na b 1.6\n 5\n;x 9007199254740993\nx\n',
  )
  expect(skippedLines).toBe(3)
  expect([...profile.values]).toEqual([2n, 1n, 2n, 9007199254740993n])
  expect(profile.functions.map(each => each.name)).toEqual([
    'operator new(unsigned long)',
    'main',
    'x',
    '#private',
    'a b',
    '',
  ])
})

test('nothing to read', () => {
  expect(() => parseFolded('# only a comment\n')).toThrow(
    'no line is a folded stack such as "main;run 12" (1 skipped)',
  )
  expect(() => parseFolded('')).toThrow('(0 skipped)')
})

test('folded limits', () => {
  const limits = { maxStacks: 2, maxStackDepth: 3, maxFrames: 5 }
  const refusal = (text: string) => {
    try {
      parseFolded(text, undefined, limits)
    } catch (error) {
      return (error as StrobeError).message
    }
    return 'accepted'
  }
  expect(refusal('a;b;c 1\na;b 1')).toBe('accepted')
  expect(refusal('a;b;c;d;e;f 1')).toBe('frames of a stack: 4, the limit is 3 (maxStackDepth)')
  expect(refusal('a 1\na 1\na 1')).toBe('stacks: 3, the limit is 2 (maxStacks)')
  expect(refusal('a;b;c 1\na;b;c 1')).toBe('frames: 6, the limit is 5 (maxFrames)')
})

test('names with separators stay one frame in folded text', () => {
  const frame = (name: string) => ({ name, file: '', module: '', kind: 'native' as const })
  const stacks = { stackOffset: [0, 2, 2, 3], stackFrame: [1, 0, 1] }
  expect(formatFolded(stacks, [1n, 2n, 0n], [frame('a;b'), frame('c\nd')])).toBe('[no stack] 2\na:b;c d 1\n')
})

test('speedscope, sampled: weights in seconds', () => {
  const [only, ...rest] = parseSpeedscope(new TextDecoder().decode(read('speedscope/sampled-0.1.2.json')))
  expect(rest).toEqual([])
  expect(only!.name).toBe('simple.speedscope.json')
  expect(only!.profile.sampleTypes).toEqual([{ type: 'time', unit: 'nanoseconds' }])
  expect(foldedOf(only!.profile)).toBe('a;b 5000000000\na;b;c 5000000000\na;b;d 4000000000\n')
})

test('speedscope, evented: open 0..2 c, 2..6 d, 6..9 c, then a;b until 14', () => {
  const [only] = parseSpeedscope(new TextDecoder().decode(read('speedscope/evented-0.0.1.json')))
  expect(only!.profile.sampleTypes).toEqual([{ type: 'samples', unit: 'count' }])
  expect(foldedOf(only!.profile)).toBe('a;b 5\na;b;c 5\na;b;d 4\n')
})

test('speedscope out and in again', () => {
  const { values, frames, ...stacks } = stacksFromColumns(`
    2     3     4
    main  main  .
    run   stop  .`)
  const text = formatSpeedscope('cpu', 'nanoseconds', stacks, values, frames)
  const [only] = parseSpeedscope(text)
  expect(foldedOf(only!.profile)).toBe('[no stack] 4\nmain;run 2\nmain;stop 3\n')
  expect(JSON.parse(text).profiles[0].endValue).toBe(9)
})

const events = (list: [type: string, frame: number, at: number][]) => ({
  type: 'evented',
  unit: 'none',
  startValue: 0,
  endValue: 9,
  events: list.map(([type, frame, at]) => ({ type, frame, at })),
})

test.each<[string, unknown]>([
  [
    'profiles[0].unit "furlongs" is not one of',
    { type: 'sampled', unit: 'furlongs', samples: [], weights: [] },
  ],
  [
    'profiles[0].unit "constructor" is not one of',
    { type: 'sampled', unit: 'constructor', samples: [], weights: [] },
  ],
  ['profiles[0].type is neither', { type: 'x', unit: 'none' }],
  [
    'profiles[0].weights has 0 entries for 1 samples',
    { type: 'sampled', unit: 'none', samples: [[0]], weights: [] },
  ],
  ['profiles[0].samples[0] is no frame', { type: 'sampled', unit: 'none', samples: [[7]], weights: [1] }],
  ['profiles[0].samples[0] is no list', { type: 'sampled', unit: 'none', samples: [7], weights: [1] }],
  ['profiles[0].weights[0] is no number', { type: 'sampled', unit: 'none', samples: [[0]], weights: ['1'] }],
  [
    'profiles[0].weights[0] is too large',
    { type: 'sampled', unit: 'seconds', samples: [[0]], weights: [1e300] },
  ],
  [
    'profiles[0].events[1].at lies before',
    events([
      ['O', 0, 5],
      ['C', 0, 4],
    ]),
  ],
  [
    'profiles[0].events[1] closes a frame',
    events([
      ['O', 0, 1],
      ['C', 1, 4],
    ]),
  ],
  ['profiles[0].events[0] closes a frame', events([['C', 0, 1]])],
  ['profiles[0].events[0].type is neither', events([['X', 0, 1]])],
  ['profiles[0] is no object', null],
])('%s', (message, profile) => {
  const file = { shared: { frames: [{ name: 'a' }, { name: 'b' }] }, profiles: [profile] }
  expect(() => parseSpeedscope(JSON.stringify(file))).toThrow(message)
})

test('no JSON', () => {
  expect(() => parseSpeedscope('<html>')).toThrow('the file is no JSON')
})
