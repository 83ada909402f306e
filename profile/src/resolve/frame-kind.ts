import type { FrameKind } from '../model.ts'

/** The base name of a mapping's file; every name that writers give to the kernel becomes '[kernel]'. */
export function moduleOf(file: string): string {
  if (
    file.startsWith('[kernel') ||
    file.startsWith('[guest.kernel') ||
    file === '[vmlinux]' ||
    file === '/proc/kcore'
  ) {
    return '[kernel]'
  }
  const path = file.endsWith(' (deleted)') ? file.slice(0, -' (deleted)'.length) : file
  const name = path.slice(path.lastIndexOf('/') + 1)
  return name === 'vmlinux' || name.startsWith('vmlinux-') ? '[kernel]' : name
}

const INTERPRETED_FILE = /\.(py|rb|php|pl|lua|js|mjs|cjs|ts|mts|ex|erl)$|^node:|^<frozen /
const JIT_MODULE = /^(\[jit\]|\[anon.*|anon|perf-\d+\.map|jitted-.*|.*\.jitdump)$/
const JIT_FILE = /\.(java|kt|scala|groovy|clj|cs)$/

/** null when the module does not tell and the source file must. */
export function kindOfModule(module: string): FrameKind | null {
  if (module === '[kernel]') return 'kernel'
  // What an unwinder says instead of a frame: it is no code of the program.
  if (module === '[unwinder]') return 'none'
  return JIT_MODULE.test(module) ? 'jit' : null
}

/** Kinds by source file, kept: files are few, frames are many. */
export class FileKinds {
  readonly #kinds = new Map<string, FrameKind>()

  of(file: string): FrameKind {
    let kind = this.#kinds.get(file)
    if (kind === undefined) {
      kind = JIT_FILE.test(file) ? 'jit' : INTERPRETED_FILE.test(file) ? 'interpreted' : 'native'
      this.#kinds.set(file, kind)
    }
    return kind
  }
}
