import type { Pick } from './mutate.ts'

/** One decoder and the inputs that it is tried with. */
export interface Target {
  /** The same bytes for the same numbers. */
  make(pick: Pick): Uint8Array
  /**
   * Returns 'accepted' or a short name of the outcome. A coded error is a refusal; anything else that it
   * throws, such as a rule that what was read breaks, is a failure.
   */
  run(input: Uint8Array): string | Promise<string>
  /** Of files that targets use; called at the end. */
  close?(): void
}

/** Any of them. */
export const one = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!

/** Throws what is a failure of the target. */
export function expectThat(condition: boolean, sentence: string): void {
  if (!condition) throw new Error(sentence)
}
