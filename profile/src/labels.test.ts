import { expect, test } from 'vitest'
import { checkLabels, collidedLabelName, mapLabelNames } from './labels.ts'

function mapped(names: [name: string, value: string, unit?: string | null][]): string {
  const { labels, renamed, duplicates } = mapLabelNames(
    names.map(([name, value, unit]) => ({ name, value, unit: unit ?? null })),
  )
  return `${labels.map(label => `${label.name}=${label.value}`).join(' ')} | ${renamed} ${duplicates}`
}

test.each<[string, [string, string, (string | null)?][], string]>([
  [
    'good names stay',
    [
      ['pod', '1'],
      ['a_B9', '2'],
    ],
    'a_B9=2 pod=1 | 0 0',
  ],
  [
    'dots, dashes and spaces',
    [
      ['service.name', 'x'],
      ['k8s-pod', 'y'],
      ['local root id', 'z'],
    ],
    'k8s_pod=y local_root_id=z service_name=x | 3 0',
  ],
  ['other alphabets', [['ключ', 'v']], 'u43au43bu44eu447=v | 1 0'],
  [
    'a leading digit and no name',
    [
      ['9x', 'v'],
      ['', 'w'],
    ],
    '_=w _9x=v | 2 0',
  ],
  [
    'the first of one name stays',
    [
      ['a.b', '1'],
      ['a.b', '2'],
    ],
    'a_b=1 | 1 1',
  ],
])('%s', (_, names, wanted) => {
  expect(mapped(names)).toBe(wanted)
})

test('collisions: the name that needs no rewriting wins, in any order, and nothing is lost', () => {
  const names: [string, string][] = [
    ['a.b', '1'],
    ['a-b', '2'],
    ['a_b', '3'],
  ]
  const forward = mapped(names)
  expect(forward).toMatch(/^a_b=3 a_b_[0-9a-f]{8}=\d a_b_[0-9a-f]{8}=\d \| 2 0$/)
  expect(mapped([...names].reverse())).toBe(forward)
})

test('the name that a collision gives is known from the original alone', () => {
  const { labels } = mapLabelNames(['a.b', 'a-b', 'a_b'].map(name => ({ name, value: name })))
  expect(Object.fromEntries(labels.map(({ name, value }) => [value, name]))).toEqual({
    a_b: 'a_b',
    'a-b': collidedLabelName('a-b'),
    'a.b': collidedLabelName('a.b'),
  })
})

test('a text and a numeric label of one name both stay', () => {
  expect(
    mapped([
      ['pod', '4611686018427387904', ''],
      ['pod', 'x'],
    ]),
  ).toMatch(/^pod=x pod_[0-9a-f]{8}=4611686018427387904 \| 1 0$/)
})

test('limits name the label, its size and the limit', () => {
  const limits = { maxLabels: 2, maxNameBytes: 10, maxValueBytes: 10 }
  const label = (name: string, value: string) => ({ name, value })
  expect(() => checkLabels([label('a', 'ééééé')], limits)).not.toThrow()
  expect(() => checkLabels([label('a', 'éééééé')], limits)).toThrow(
    'label "a": the value has 12 bytes, the limit is 10',
  )
  expect(() => checkLabels([label('abcdefghijk', '')], limits)).toThrow(
    'the name has 11 bytes, the limit is 10',
  )
  expect(() => checkLabels([label('a', ''), label('b', ''), label('c', '')], limits)).toThrow(
    '3 labels, the limit is 2',
  )
})
