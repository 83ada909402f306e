import { expect, test } from 'vitest'
import { runBench } from './run-bench.ts'

test('npm run soak loses nothing', async () => {
  const figures = await runBench('soak')
  for (const name of ['extremes', 'soak_requests', 'soak_data', 'kills'])
    expect(figures.get(`${name}_problems`)).toBe(0)
  expect(figures.get('soak_samples')).toBeGreaterThan(1000)
  // Two a second for 12 s.
  expect(figures.get('soak_queries')).toBe(24)
})
