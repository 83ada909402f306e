type Column = Uint8Array | Uint32Array | Int32Array | BigInt64Array

/** `to`, longer than `from`, with the content of `from` at its beginning. */
export function grown<T extends Column>(from: T, to: T): T {
  // The cast joins number and bigint arrays: `from` and `to` have the same element type.
  ;(to as Uint32Array).set(from as Uint32Array)
  return to
}

/** `column` when it holds so many entries, else a longer one without its content. */
export function roomyUint32(column: Uint32Array<ArrayBuffer>, entries: number): Uint32Array<ArrayBuffer> {
  return entries <= column.length ? column : new Uint32Array(Math.max(entries, 2 * column.length))
}

/** As roomyUint32. */
export function roomyInt32(column: Int32Array<ArrayBuffer>, entries: number): Int32Array<ArrayBuffer> {
  return entries <= column.length ? column : new Int32Array(Math.max(entries, 2 * column.length))
}
