import { expect, test } from 'vitest'
import { defaultIngestLimits } from '../limits.ts'
import { readSeriesLabels } from './series-labels.ts'

const limits = { ...defaultIngestLimits(), maxLabels: 4, maxLabelNameBytes: 20, maxLabelValueBytes: 10 }
const read = (labels: Record<string, string>) =>
  readSeriesLabels(
    Object.entries({ service_name: 'api', ...labels }).map(([name, value]) => ({ name, value })),
    limits,
  )
const namesOf = (labels: Record<string, string>) => read(labels).labels.map(label => label.name)

test.each([
  ['as it is', 'twenty_letters_long_', ['service_name', 'twenty_letters_long_']],
  // 11 letters, _ and 8 hex digits: 20 bytes.
  ['cut', 'more_than_twenty_letters', ['more_than_t_f2e8ca4a', 'service_name']],
  ['mapped, then cut', 'ключ.имени', ['service_name', 'u43au43bu44_67ea79f1']],
])('a name is kept %s', (_how, name, expected) => {
  expect(namesOf({ [name]: 'x' })).toHaveLength(2)
  expect(namesOf({ [name]: 'x' }).map(each => each.replace(/_[0-9a-f]{8}$/, '_HASH'))).toEqual(
    expected.map(each => each.replace(/_[0-9a-f]{8}$/, '_HASH')),
  )
  for (const each of namesOf({ [name]: 'x' })) expect(each.length).toBeLessThanOrEqual(20)
})

test('long names that begin alike stay apart, whatever their order', () => {
  const names = namesOf({ a_name_that_is_long_1: 'x', a_name_that_is_long_2: 'y' })
  expect(new Set(names).size).toBe(3)
  expect(namesOf({ a_name_that_is_long_2: 'y', a_name_that_is_long_1: 'x' })).toEqual(names)
  expect(read({ a_name_that_is_long_1: 'x', b: 'y' }).shortened).toBe(1)
})

test('names at the limit that mean the same after mapping lose nothing', () => {
  expect(namesOf({ 'twenty-letters-long.': 'x', 'twenty.letters.long-': 'y' })).toHaveLength(3)
})

test.each([
  [
    { a: '1', b: '2', c: '3', d: '4' },
    'LABELS_TOO_MANY',
    { limitName: 'series_labels', limit: 4, observed: 5 },
  ],
  [
    { pod: 'eleven-long' },
    'LABEL_TOO_LONG',
    { limitName: 'label_value_bytes', limit: 10, observed: 11, label: 'pod' },
  ],
])('%o is refused: %s', (labels, code, details) => {
  expect(() => read(labels as Record<string, string>)).toThrow(expect.objectContaining({ code, details }))
})
