import { frameFileShift, frameKindShift, frameKinds } from '../bpf/frame-layout.ts'
import { AgentError } from '../errors.ts'

// Fields are read as 32-bit halves: a BigInt a frame would dominate the window.
const kindShift = frameKindShift - 32
const scopeShift = frameFileShift - 32
const fileBits = frameKindShift - frameFileShift

/** The scope of all frames of one file. */
export const nativeScope = (fileId: number): number => frameKinds.native * 2 ** fileBits + fileId

export type FrameWordKind = 'native' | 'kernel' | 'jit' | 'interpreted'

/** A frame of a stack. scope and position together identify it and are exact in a double. */
export interface FrameWord {
  kind: FrameWordKind
  /** kind and file id. */
  scope: number
  /** native: vaddr minus the file's lowest; kernel: low 48 bits of the address; 0 for the others. */
  position: number
  fileId: number
  /** What symbolize takes: header word and first payload word. */
  header: bigint
  payload: bigint
}

/** The pcs of JIT frames of one stack. */
export function jitAddresses(words: BigUint64Array, from: number, to: number): bigint[] {
  const pcs: bigint[] = []
  for (let at = from; at < to; ) {
    const kind = Number(words[at]! >> BigInt(frameKindShift))
    if (kind === frameKinds.jit && at + 1 < to) pcs.push(words[at + 1]!)
    at += kind === frameKinds.native ? 1 : kind === frameKinds.interp ? 3 : 2
  }
  return pcs
}

/**
 * Walks the frames of one stack, leaf first. words: frame words in [from, to).
 * Throws FRAME_WORD_INVALID on an unknown kind or a payload that is cut off.
 */
export function decodeFrameWords(words: BigUint64Array, from: number, to: number): FrameWord[] {
  const halves = new Uint32Array(words.buffer, words.byteOffset, words.length * 2)
  const frames: FrameWord[] = []
  for (let at = from; at < to; ) {
    const low = halves[at * 2]!
    const high = halves[at * 2 + 1]!
    const kind = high >>> kindShift
    const payloadWords = kind === frameKinds.native ? 0 : kind === frameKinds.interp ? 2 : 1
    if (kind < frameKinds.native || kind > frameKinds.interp || at + 1 + payloadWords > to)
      throw new AgentError(
        'FRAME_WORD_INVALID',
        `word ${at} of the window's stacks is 0x${words[at]!.toString(16)}, no frame of this version; addon and agent differ, build the addon again`,
      )
    const header = words[at]!
    const payload = payloadWords > 0 ? words[at + 1]! : 0n
    const scope = high >>> scopeShift
    const fileId = scope & (2 ** fileBits - 1)
    if (kind === frameKinds.native)
      frames.push({
        kind: 'native',
        scope,
        position: (high & (2 ** scopeShift - 1)) * 2 ** 32 + low,
        fileId,
        header,
        payload,
      })
    else if (kind === frameKinds.kernel) {
      const position = (halves[at * 2 + 3]! & 0xffff) * 2 ** 32 + halves[at * 2 + 2]!
      frames.push({ kind: 'kernel', scope, position, fileId: 0, header, payload })
    } else {
      const name = kind === frameKinds.jit ? 'jit' : 'interpreted'
      frames.push({ kind: name, scope: kind << fileBits, position: 0, fileId: 0, header, payload })
    }
    at += 1 + payloadWords
  }
  return frames
}
