/**
 * What a row costs on disk (docs/decisions/0009-smaller-rows.md). A batch id is 16 random bytes, three quarters
 * of a row of `profiles`, and nothing reads it there: the ledger has it. The view that fills `profiles` still
 * names it, and ClickHouse skips columns that a view's target does not have. Codecs hold for new parts, and for
 * old ones from their next merge on.
 */
export const name = '0006-smaller-rows'

export const statements: string[] = [
  'ALTER TABLE profiles DROP COLUMN IF EXISTS batch_id',
  // Inside one stack and series times are gaps of few bits: transposed bit by bit they compress best.
  `ALTER TABLE samples MODIFY COLUMN time CODEC(Delta, T64('bit'), ZSTD(1))`,
  // Sums are multiples of the period; T64 knows no Int128, which 0003-values made of them.
  `ALTER TABLE profiles MODIFY COLUMN value CODEC(GCD, ZSTD(1))`,
]
