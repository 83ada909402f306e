import { expect, test } from 'vitest'
import { runBench } from './run-bench.ts'

test('npm run bench -- growth asks every question at three sizes', async () => {
  const figures = await runBench('growth')
  expect(figures.get('x16_samples')).toBeGreaterThan(figures.get('x1_samples')! * 2)
  expect([...figures.keys()].filter(name => name.startsWith('growth_'))).toHaveLength(19)
})
