import type { NativeProcess, NativeWindow } from './bpf/native.ts'

/** A process in a test: what is not said is a plain live program. */
export function nativeProcess(fields: Partial<NativeProcess>): NativeProcess {
  return {
    ...{
      pid: 100,
      parentPid: 1,
      startBoottime: 1_000_000_000n,
      nsPid: 100,
      comm: 'prog',
      exe: '/usr/bin/prog',
    },
    ...{ cmdline: ['prog'], cgroup: '0::/', cwd: '/', uid: 0, environment: [] },
    ...fields,
  }
}

export interface TestSample {
  /** Index into the processes. */
  process: number
  /** Frame words, leaf first. */
  stack: bigint[]
  count?: number
  /** enum unwind_result, 0 is whole. */
  result?: number
  thread?: string
}

/** A window as the addon gives it: 10 s from monotonic 100 s. */
export function nativeWindow(
  processes: NativeProcess[],
  samples: TestSample[],
  counters: Record<string, number> = {},
): NativeWindow {
  const threadNames = [...new Set(samples.map(sample => sample.thread ?? ''))]
  const stacks = new Map(samples.map(sample => [sample.stack.join(), sample.stack]))
  const stackKeys = [...stacks.keys()]
  const stackOffset = [0]
  for (const stack of stacks.values()) stackOffset.push(stackOffset.at(-1)! + stack.length)
  return {
    startNs: 100_000_000_000n,
    endNs: 110_000_000_000n,
    processes,
    threadNames,
    stackWords: BigUint64Array.from([...stacks.values()].flat()),
    stackOffset: Uint32Array.from(stackOffset),
    sampleProcess: Uint32Array.from(samples.map(sample => sample.process)),
    sampleThread: Uint32Array.from(samples.map(sample => threadNames.indexOf(sample.thread ?? ''))),
    sampleStack: Uint32Array.from(samples.map(sample => stackKeys.indexOf(sample.stack.join()))),
    sampleCount: Uint32Array.from(samples.map(sample => sample.count ?? 1)),
    sampleResult: Uint8Array.from(samples.map(sample => sample.result ?? 0)),
    counters,
  }
}

export const nativeFrame = (file: number, offset: number): bigint =>
  (1n << 60n) | (BigInt(file) << 36n) | BigInt(offset)
export const kernelFrame = (address: bigint): bigint[] => [2n << 60n, address]
export const jitFrame = (pc: bigint): bigint[] => [3n << 60n, pc]
