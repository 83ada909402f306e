import { compareFrames, type TreeFrame } from '@strobe/profile'
import type { FrameFacts, Generation } from './generation.ts'
import { grown } from './id-table.ts'
import { packageOf } from './package-name.ts'

/** What frames are summed by. 'frame' keeps everything apart that the store does, for exports. */
export type GroupMode = 'frame' | 'function' | 'file' | 'line' | 'module' | 'package'

/** The key of a frame that `hide` matches. */
export const hidden = -2

export interface FrameFilters {
  /** Whether a function's name matches; null: no filter. */
  focus: ((name: string) => boolean) | null
  hide: ((name: string) => boolean) | null
}

interface GenerationKeys {
  /** By frame; -1: not looked at yet. */
  key: Int32Array
  isFocused: Uint8Array
  /** By shown, for the modes that need no more. */
  shownKey: Int32Array
  shownFocused: Uint8Array
}

/**
 * Numbers what frames are grouped by, for one query: equal groups have one key, from 0 up, whatever generation of
 * the cache their frames are in. Texts are read once for each distinct function.
 */
export class FrameKeys {
  readonly frames: TreeFrame[] = []
  /** In mode 'frame' what the store says of each key; null for those that are no stored frame. */
  readonly facts: (FrameFacts | null)[] = []
  readonly #mode: GroupMode
  readonly #filters: FrameFilters
  readonly #keyOf = new Map<string, number>()
  // Weak: a long query outlives generations, which must not outlive the cache's bound for it.
  readonly #generations = new WeakMap<Generation, GenerationKeys>()

  constructor(mode: GroupMode, filters: FrameFilters) {
    this.#mode = mode
    this.#filters = filters
  }

  /** A frame that stands for none in the store; a stored one that looks the same is the same. */
  fixed(frame: TreeFrame): number {
    return this.#keyFor(frame)
  }

  /** Columns of a generation, with room for all of its frames; keys are filled by look(). */
  of(generation: Generation): GenerationKeys {
    let keys = this.#generations.get(generation)
    if (!keys) {
      keys = {
        key: new Int32Array(0),
        isFocused: new Uint8Array(0),
        shownKey: new Int32Array(0),
        shownFocused: new Uint8Array(0),
      }
      this.#generations.set(generation, keys)
    }
    if (keys.key.length < generation.frameCount) {
      const size = Math.max(256, 2 * generation.frameCount)
      keys.key = emptyFrom(keys.key, size)
      keys.isFocused = grown(keys.isFocused, size)
    }
    if (keys.shownKey.length < generation.shownCount) {
      const size = Math.max(256, 2 * generation.shownCount)
      keys.shownKey = emptyFrom(keys.shownKey, size)
      keys.shownFocused = grown(keys.shownFocused, size)
    }
    return keys
  }

  /** Finds the key of a frame whose column says -1. */
  look(generation: Generation, keys: GenerationKeys, frame: number): number {
    const shown = generation.shownOf(frame)
    let key = keys.shownKey[shown]!
    if (key === -1) {
      const name = generation.shownName(shown)
      keys.shownFocused[shown] = this.#filters.focus?.(name) ? 1 : 0
      key = this.#filters.hide?.(name) ? hidden : this.#groupShown(generation, shown, name)
      keys.shownKey[shown] = key
    }
    if (key === perFrame) key = this.#groupFrame(generation, frame)
    keys.key[frame] = key
    keys.isFocused[frame] = keys.shownFocused[shown]!
    return key
  }

  #groupShown(generation: Generation, shown: number, name: string): number {
    const file = generation.shownFile(shown)
    const module = generation.shownModule(shown)
    const kind = generation.shownKind(shown)
    // A group of named and unnamed frames is one, whatever frame came first.
    const groupKind = kind === 'unsymbolized' ? 'native' : kind
    switch (this.#mode) {
      case 'frame':
      case 'line':
        return perFrame
      case 'function':
        return this.#keyFor({ name, file, module, kind })
      case 'file':
        return file === ''
          ? this.#keyFor({ name: module || '[unknown]', file: '', module, kind: groupKind })
          : this.#keyFor({ name: file, file, module: '', kind: groupKind })
      case 'module':
        return this.#keyFor({ name: module || '[unknown]', file: '', module, kind: groupKind })
      case 'package': {
        const found = packageOf(name, file)
        return this.#keyFor({
          name: found || module || '[unknown]',
          file: '',
          module: found ? '' : module,
          kind: groupKind,
        })
      }
    }
  }

  #groupFrame(generation: Generation, frame: number): number {
    if (this.#mode === 'frame') {
      const facts = generation.frameFacts(frame)
      const { name, file, module, kind } = facts
      return this.#keyFor({ name, file, module, kind }, facts, Object.values(facts).join('\0'))
    }
    const shown = generation.shownOf(frame)
    const file = generation.shownFile(shown)
    const line = generation.lineOf(frame)
    const place = file === '' || line === 0 ? '' : ` ${file.slice(file.lastIndexOf('/') + 1)}:${line}`
    return this.#keyFor({
      name: generation.shownName(shown) + place,
      file,
      module: generation.shownModule(shown),
      kind: generation.shownKind(shown),
    })
  }

  #keyFor(
    frame: TreeFrame,
    facts: FrameFacts | null = null,
    identity = `${frame.name}\0${frame.file}\0${frame.module}\0${frame.kind}`,
  ): number {
    let key = this.#keyOf.get(identity)
    if (key === undefined) {
      key = this.frames.push(frame) - 1
      this.facts.push(facts)
      this.#keyOf.set(identity, key)
    }
    return key
  }

  /** The order of two keys' frames; never 0 for two keys. */
  compare(a: number, b: number): number {
    return compareFrames(this.frames[a]!, this.frames[b]!) || a - b
  }
}

const perFrame = -3

function emptyFrom(from: Int32Array, size: number): Int32Array {
  const to = new Int32Array(size).fill(-1)
  to.set(from)
  return to
}
