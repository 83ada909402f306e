import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { cannotProfile } from './agent-record.ts'
import { benchProgram, runBench } from './run-bench.ts'

test('npm run bench -- ingest stores what it says', async () => {
  const figures = await runBench('ingest')
  expect(figures.get('cpu_per_profile')).toBeGreaterThan(0)
  // 80 profiles of 129 to 239 stacks and 400 of 8.
  expect(figures.get('stored_samples')).toBeGreaterThan(80 * 129 + 400 * 8)
  expect(figures.get('stored_samples')).toBeLessThan(80 * 239 + 400 * 8)
})

test('npm run bench -- storage tells a sample by its columns', async () => {
  const figures = await runBench('storage')
  const sum = ['time', 'series_id', 'value', 'stack_id'].reduce(
    (bytes, column) => bytes + figures.get(`bytes_per_sample_${column}`)!,
    0,
  )
  expect(sum).toBeLessThan(figures.get('bytes_per_sample')!)
  expect(sum).toBeGreaterThan(figures.get('bytes_per_sample')! * 0.8)
  expect(figures.get('bytes_per_sample_with_profiles_and_totals')).toBeGreaterThan(
    figures.get('bytes_per_sample')!,
  )
  expect(figures.get('path_samples')).toBeGreaterThan(2 * 1000 * 129)
})

test('npm run bench -- regression finds what it plants, and little else', async () => {
  const figures = await runBench('regression')
  expect(figures.get('12_instances_found_at_1_5_visible')).toBeGreaterThan(0.5)
  expect(figures.get('12_instances_equal_with_verdict')).toBeLessThan(0.2)
  expect(figures.get('500_instances_cpu')).toBeGreaterThan(0)
})

test('npm run bench -- query has an answer beside the bare scan', async () => {
  const figures = await runBench('query')
  expect(figures.get('flamegraph_24h_cpu')).toBeGreaterThan(0)
  expect(figures.has('flamegraph_24h_bare_scan_cpu')).toBe(true)
  expect(figures.has('event_loop_delay_p99')).toBe(true)
})

describe.skipIf(cannotProfile !== '')(`where BPF loads${cannotProfile}`, () => {
  test('npm run bench -- agent walks the depth that it spins at', async () => {
    const figures = await runBench('agent')
    // 101 frames of recursion and what calls it.
    expect(figures.get('walk_warm_frames')).toBeGreaterThan(100)
    expect(figures.get('walk_warm_frames')).toBeLessThan(112)
    expect(figures.get('walk_warm_beside_kernel')).toBeGreaterThan(0)
    expect(figures.get('of_which_bpf_maps')).toBeGreaterThan(0)
  })
})

test('a name that is no bench is refused with those that are', async () => {
  await expect(promisify(execFile)(process.execPath, [benchProgram, 'speed'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('agent, ingest, storage, query, growth, regression, soak'),
  })
})
