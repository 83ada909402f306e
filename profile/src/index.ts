export * from './call-tree.ts'
export * from './column-stacks.ts'
export { DEFAULT_DIFF_SETTINGS, type DiffSettings } from './diff/compare-functions.ts'
export * from './diff/compare-profiles.ts'
export {
  type Cause,
  changeScale,
  type DiffTree,
  isWithinNoise,
  type WeighedColumns,
} from './diff/diff-tree.ts'
export type { Verdict, VerdictState } from './diff/verdict.ts'
export * from './errors.ts'
export * from './formats/folded.ts'
export * from './formats/profile-builder.ts'
export * from './formats/speedscope.ts'
export * from './identity.ts'
export * from './labels.ts'
export * from './model.ts'
export * from './normalize.ts'
export * from './pprof/decode.ts'
export * from './pprof/encode.ts'
export { DEFAULT_PPROF_LIMITS, type PprofLimits } from './pprof/limits.ts'
export * from './prune-tree.ts'
export { type CutProfile, cutStacks } from './resolve/cut-stacks.ts'
export { PprofBody } from './resolve/pprof-body.ts'
export * from './selector.ts'
export * from './time-range.ts'
export * from './tree-draft.ts'
export * from './tree-path.ts'
export * from './type-id.ts'
export * from './units.ts'
export * from './value-kind.ts'
