/** Unix ms as the store reads a DateTime64: it takes a number of fewer than ten digits, such as 0, for something else. */
export function formatSeconds(ms: number): string {
  return (ms / 1000).toFixed(3).padStart('0000000000.000'.length, '0')
}
