// Made from bpf/profiler/types.h by npm run generate.

/** enum frame_kind: the top bits of a frame's header word. */
export const frameKinds = {
  native: 1,
  kernel: 2,
  jit: 3,
  interp: 4,
} as const

/** Position of the kind and of the file id in a header word, in bits. */
export const frameKindShift = 60
export const frameFileShift = 36

/** enum unwind_result. */
export const unwindResults = {
  completeStop: 0,
  completeZero: 1,
  kernelThread: 2,
  truncated: 3,
  noProcess: 4,
  noMapping: 5,
  tablePending: 6,
  noPage: 7,
  noRow: 8,
  ruleInvalid: 9,
  expression: 10,
  readFault: 11,
  register: 12,
  raced: 13,
  exiting: 14,
  noRegisters: 15,
  notAdvancing: 16,
  count: 17,
} as const
