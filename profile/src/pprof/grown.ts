/** `to`, longer than `from`, with the content of `from` at its beginning. */
export function grown<T extends Uint32Array | Int32Array | BigInt64Array>(from: T, to: T): T {
  // The cast joins number and bigint arrays: `from` and `to` have the same element type.
  ;(to as Uint32Array).set(from as Uint32Array)
  return to
}
