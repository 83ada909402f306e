import { murmur3x86x128 } from '@strobe/profile'
import { expect, test } from 'vitest'
import { defaultIngestLimits } from '../limits.ts'
import { readSeriesLabels } from './series-labels.ts'

// 32 bits of the whole name's hash: the cut one stays apart from others that begin alike.
const longNameHash = murmur3x86x128(Buffer.from('n'.repeat(201)), 0)[0]
  .toString(16)
  .padStart(8, '0')

const labelCases: [name: string, given: Record<string, string>, want: Record<string, string> | string][] = [
  [
    'names are mapped, empty values left out',
    { service_name: 'a', 'k8s-pod': 'p', x: '' },
    { k8s_pod: 'p', service_name: 'a' },
  ],
  ['OpenTelemetry names count', { 'service.name': 'a' }, { service_name: 'a' }],
  ['no service', { host_name: 'h' }, 'LABEL_INVALID'],
  ['an empty service', { service_name: '' }, 'LABEL_INVALID'],
  ['a long value', { service_name: 'a', pod: 'é'.repeat(1025) }, 'LABEL_TOO_LONG'],
  [
    'a long name is cut',
    { service_name: 'a', ['n'.repeat(201)]: 'x' },
    { service_name: 'a', [`${'n'.repeat(191)}_${longNameHash}`]: 'x' },
  ],
  [
    'too many',
    {
      service_name: 'a',
      ...Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`l${index}`, 'x'])),
    },
    'LABELS_TOO_MANY',
  ],
]
for (const [name, given, want] of labelCases) {
  test(name, () => {
    const sent = Object.entries(given).map(([name, value]) => ({ name, value }))
    const read = () => readSeriesLabels(sent, defaultIngestLimits()).labels
    if (typeof want === 'string') expect(read).toThrow(expect.objectContaining({ code: want }))
    else expect(Object.fromEntries(read().map(label => [label.name, label.value]))).toEqual(want)
  })
}
