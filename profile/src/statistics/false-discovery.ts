/**
 * Benjamini-Hochberg: for each p the least false discovery rate at which it would be a finding.
 * pValues: of all tests that were made, in any order; the answer is in the same order.
 */
export function falseDiscoveryRates(pValues: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: pValues.length }, (_, test) => test).sort(
    (a, b) => pValues[a]! - pValues[b]! || a - b,
  )
  const rates = new Float64Array(pValues.length)
  let least = 1
  for (let rank = order.length; rank >= 1; rank--) {
    const test = order[rank - 1]!
    least = Math.min(least, (pValues[test]! * order.length) / rank)
    rates[test] = least
  }
  return rates
}
