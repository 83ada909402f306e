import type { ExactTotals } from './protocol.ts'
import type { StackSums } from './store-rows.ts'

/**
 * The sum of all stacks and of those that were taken, with every digit. exact gives the sums as the store
 * has them; it is asked only when doubles do not hold them.
 */
export function exactTotals(
  sums: Pick<StackSums, 'count' | 'values'>,
  taken: Uint8Array,
  divisor: number,
  exact: () => bigint[],
): ExactTotals {
  let most = 0
  let whole = 0
  let total = 0
  for (let place = 0; place < sums.count; place++) {
    const value = sums.values[place]!
    most += Math.abs(value)
    whole += value
    if (taken[place] === 1) total += value
  }
  if (most <= Number.MAX_SAFE_INTEGER)
    return {
      wholeExact: formatRatio(BigInt(whole), divisor),
      totalExact: formatRatio(BigInt(total), divisor),
    }
  const weights = exact()
  let [exactWhole, exactTotal] = [0n, 0n]
  for (const [place, weight] of weights.entries()) {
    exactWhole += weight
    if (taken[place] === 1) exactTotal += weight
  }
  return { wholeExact: formatRatio(exactWhole, divisor), totalExact: formatRatio(exactTotal, divisor) }
}

/** Decimal text of weight / divisor, rounded half away from zero to three digits after the point. */
export function formatRatio(weight: bigint, divisor: number): string {
  if (divisor === 1) return weight.toString()
  const thousandths = divideRounded(weight * 1000n, BigInt(divisor))
  const size = thousandths < 0n ? -thousandths : thousandths
  const fraction = (size % 1000n).toString().padStart(3, '0').replace(/0+$/, '')
  return `${thousandths < 0n ? '-' : ''}${size / 1000n}${fraction === '' ? '' : `.${fraction}`}`
}

/** divisor: positive. */
export function divideRounded(weight: bigint, divisor: bigint): bigint {
  const half = divisor / 2n
  return (weight < 0n ? weight - half : weight + half) / divisor
}
