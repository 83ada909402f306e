import { expect, test } from 'vitest'
import { bridgeSteps } from './gaps.ts'

/** '1 . . 2' is a value, two steps of silence, a value; steps are 10 ms apart. */
function bridge(text: string): string {
  const points = text
    .split(' ')
    .map((word, step): [number, number | null] => [step * 10, word === '.' ? null : Number(word)])
  return bridgeSteps(points)
    .map(([ms, value]) => `${ms}:${value ?? '.'}`)
    .join(' ')
}

test('a step without a value is kept as a gap where others report each step', () =>
  expect(bridge('1 2 . 3 4')).toBe('0:1 10:2 20:. 30:3 40:4'))
test('profiles longer than a step leave no gaps', () => expect(bridge('1 . 2 . 3')).toBe('0:1 20:2 40:3'))
test('silence longer than one and a half distances stays', () =>
  expect(bridge('1 . 2 . 3 . . . 4')).toBe('0:1 20:2 40:3 50:. 60:. 70:. 80:4'))
test('silence before the first and after the last value stays', () =>
  expect(bridge('. . 1 . 2 .')).toBe('0:. 10:. 20:1 40:2 50:.'))
test('one value or none is left as it is', () => {
  expect(bridge('. 1 .')).toBe('0:. 10:1 20:.')
  expect(bridge('. .')).toBe('0:. 10:.')
})
