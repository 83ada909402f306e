import { DEFAULT_GROUP_LABELS } from '@strobe/profile'
import { expect, test } from 'vitest'
import { checkGroupLabels, defaultGroupText, groupLabels, groupLabelsSince } from './tenant-groups.ts'
import { checkTenantSetting } from './tenant-settings.ts'

const day = 86_400_000

test.each([
  ['', ''],
  ['k8s_pod_name', 'service_name,k8s_pod_name'],
  [' region , service_name,region', 'service_name,region'],
])('%j is kept as %j', (text, kept) => {
  expect(checkGroupLabels(text)).toBe(kept)
})

test.each([
  ['a,,b', /"" is no label/],
  ['service.version', /"service.version" is no label/],
  ['x'.repeat(201), /at most 200/],
  ["a'b", /no label/],
  [Array.from({ length: 12 }, (_, at) => `l${at}`).join(','), /13 labels with service_name, the limit is 12/],
])('%j is refused', (text, message) => {
  expect(() => checkGroupLabels(text)).toThrow(message)
})

test('what is not set is the default, and the setting is named beside the others', () => {
  expect(groupLabels(new Map())).toEqual(DEFAULT_GROUP_LABELS)
  expect(checkGroupLabels(defaultGroupText)).toBe(defaultGroupText)
  expect(() => checkTenantSetting('nothing', '1')).toThrow(/group_labels/)
})

test('a range is asked by what is in every list since four days before it', () => {
  const past = [
    { sinceMs: 10 * day, value: 'service_name,service_version,pod' },
    { sinceMs: 20 * day, value: 'service_name,pod' },
    { sinceMs: 30 * day, value: '' },
  ]
  const since = (days: number) => groupLabelsSince(past, days * day)
  expect(groupLabelsSince([], 0)).toEqual(DEFAULT_GROUP_LABELS)
  expect(since(0)).toEqual(['service_name'])
  expect(since(14)).toEqual(['service_name'])
  expect(since(33.9)).toEqual(['service_name'])
  expect(since(34)).toEqual(DEFAULT_GROUP_LABELS)
  expect(groupLabelsSince(past.slice(0, 2), 14 * day)).toEqual(['service_name', 'pod'])
  expect(groupLabelsSince(past.slice(0, 2), 13.9 * day)).toEqual(['service_name'])
  expect(groupLabelsSince(past.slice(0, 1), 13.9 * day)).toEqual(['service_name', 'service_version'])
})
