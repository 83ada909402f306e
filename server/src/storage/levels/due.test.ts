import { expect, test } from 'vitest'
import { batchDue, type DueRow } from './due.ts'

const day = 20_000 * 86_400

/** `tenant hour.ten service samples`, one row a line. */
function dueOf(text: string): DueRow[] {
  return text
    .trim()
    .split('\n')
    .map(line => {
      const [tenant = '', at = '', service = '', samples = ''] = line.trim().split(/\s+/)
      const [hour, ten = 0] = at.split('.').map(Number)
      return {
        tenant,
        service,
        type: 'cpu',
        time: day + hour! * 3600 + ten * 600,
        samples: Number(samples),
        sourceRun: '1',
        reason: 'new',
      }
    })
}

test.each([
  ['what fits is one run', 'a 5 x 10\na 5 y 20\na 4 x 30', [3]],
  ['a period alone may be too large', 'a 5 x 500\na 5 y 1', [1, 1]],
  ['tenants and days are runs of their own', 'a 25 x 1\na 23 x 1\nb 23 x 1', [1, 1, 1]],
  ['a run of half the size keeps to its hour', 'a 5.0 x 30\na 5.5 x 30\na 4.0 x 30\na 4.1 x 5', [2, 2]],
  ['names are bounded', `a 5 ${'x'.repeat(60)} 1\na 5 ${'y'.repeat(60)} 1\na 5 z 1`, [2, 1]],
  ['keys are bounded', 'a 5 a 1\na 5 b 1\na 5 c 1\na 5 d 1\na 5 e 1', [4, 1]],
])('%s', (_name, text, sizes) => {
  const limits = { keys: 4, nameLength: 100, samples: 100 }
  expect([...batchDue(dueOf(text), limits)].map(batch => batch.length)).toEqual(sizes)
})
