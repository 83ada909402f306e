import { expect, test } from 'vitest'
import type { StrobeError } from './errors.ts'
import {
  matchProfileType,
  parseProfileTypeId,
  profileNameOf,
  profileTypeId,
  storedSampleTypes,
} from './type-id.ts'

const cpu = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
const allocSpace = 'memory:alloc_space:bytes:space:bytes'
const inuseSpace = 'memory:inuse_space:bytes:space:bytes'

test('an id has five parts', () => {
  const type = { type: 'cpu', unit: 'nanoseconds' }
  expect(profileTypeId('process_cpu', type, type)).toBe(cpu)
  expect(profileTypeId('a:b', { type: 'x', unit: '' }, { type: '', unit: '' })).toBe('a_b:x:::')
  expect(parseProfileTypeId(allocSpace)).toEqual({
    name: 'memory',
    sampleType: 'alloc_space',
    sampleUnit: 'bytes',
    periodType: 'space',
    periodUnit: 'bytes',
    isDelta: false,
  })
  const [bytes, space] = [
    { type: 'alloc_space', unit: 'bytes' },
    { type: 'space', unit: 'bytes' },
  ]
  const delta = profileTypeId('memory', bytes, space, true)
  expect(delta).toBe(`${allocSpace}:delta`)
  expect(parseProfileTypeId(delta)).toEqual({ ...parseProfileTypeId(allocSpace), isDelta: true })
  expect(() => parseProfileTypeId(`${allocSpace}:other`)).toThrow('not of the form')
  expect(() => parseProfileTypeId('cpu')).toThrow('not of the form')
})

test.each([
  [cpu, cpu],
  ['cpu', cpu],
  ['process_cpu', cpu],
  ['process_cpu:cpu', cpu],
  ['inuse_space', inuseSpace],
  ['memory:alloc_space', allocSpace],
])('%s', (wanted, id) => {
  expect(matchProfileType(wanted, [allocSpace, cpu, inuseSpace])).toBe(id)
})

test.each([
  ['memory', 'TYPE_AMBIGUOUS', [allocSpace, inuseSpace]],
  ['wall', 'TYPE_UNKNOWN', [allocSpace, inuseSpace, cpu]],
  ['', 'TYPE_UNKNOWN', [allocSpace, inuseSpace, cpu]],
])('"%s" is %s', (wanted, code, candidates) => {
  try {
    matchProfileType(wanted, [allocSpace, inuseSpace, cpu])
    expect.fail('accepted')
  } catch (error) {
    expect((error as StrobeError).code).toBe(code)
    expect((error as StrobeError).details.candidates).toEqual(candidates)
  }
})

const types = (text: string) =>
  text.split(' ').map(pair => {
    const [type = '', unit = ''] = pair.split('/')
    return { type, unit }
  })

test.each([
  ['samples/count cpu/nanoseconds', 'cpu', 'process_cpu', [1]],
  ['samples/count', 'cpu', 'process_cpu', [0]],
  ['cpu/nanoseconds', 'cpu', 'process_cpu', [0]],
  [
    'alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes',
    'space',
    'memory',
    [0, 1, 2, 3],
  ],
  ['contentions/count delay/nanoseconds', 'contentions', 'block', [0, 1]],
  ['contentions/count delay/nanoseconds', 'mutex', 'mutex', [0, 1]],
  ['goroutine/count', 'goroutine', 'goroutine', [0]],
  ['threadcreate/count', 'threadcreate', 'threadcreate', [0]],
  ['samples/count time/nanoseconds', 'wallclock', 'wall', [1]],
  ['sample/count wall-time/nanoseconds', 'sample', 'wall', [1]],
  ['lock_count/count', '', 'lock_count', [0]],
  ['samples/count', '', 'samples', [0]],
])('%s, period %s: %s', (columns, period, name, stored) => {
  const profile = { sampleTypes: types(columns), periodType: { type: period, unit: '' } }
  expect(profileNameOf(profile)).toBe(name)
  expect(storedSampleTypes(profile)).toEqual(stored)
})
