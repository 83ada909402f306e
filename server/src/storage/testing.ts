/** Reads encoded batches back, for tests of what comes before the store. */
import { randomBytes } from 'node:crypto'
import { type EncodedBatch, SeenScopes } from './batch-encoder.ts'
import { SeenIds, seenIdsBytes } from './seen-ids.ts'

/** What an encoder of its own needs: nothing is seen yet. */
export function openSeen(): { seen: SeenIds; scopes: SeenScopes } {
  return {
    seen: new SeenIds(new SharedArrayBuffer(seenIdsBytes(4096))),
    scopes: new SeenScopes(randomBytes(32)),
  }
}

export interface IngestRow {
  tenant: string
  service: string
  type: string
  timeMs: number
  seriesId: bigint
  groupId: bigint
  batchId: string
  durationNs: bigint
  period: bigint
  expected: bigint
  lost: bigint
  truncated: bigint
  unsymbolized: bigint
  flags: number
  originalTimeMs: number
  receivedAtMs: number
  retention: number
  stackIds: bigint[]
  labelsetIds: bigint[]
  values: bigint[]
}

class RowReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  #take(count: number): number {
    const at = this.#at
    if (at + count > this.#bytes.length) throw new RangeError(`a row ends after byte ${this.#bytes.length}`)
    this.#at = at + count
    return at
  }

  uint8 = () => this.#bytes.readUInt8(this.#take(1))
  uint64 = () => this.#bytes.readBigUInt64LE(this.#take(8))
  int64 = () => this.#bytes.readBigInt64LE(this.#take(8))
  hex = (count: number) => {
    const at = this.#take(count)
    return this.#bytes.toString('hex', at, at + count)
  }
  count = () => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.uint8()
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  string = () => {
    const length = this.count()
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }
  list = <T>(one: () => T): T[] => Array.from({ length: this.count() }, one)
}

/** Throws RangeError when the bytes are not whole rows. */
export function readIngestRows({ ingest }: EncodedBatch): IngestRow[] {
  const row = new RowReader(ingest)
  const rows: IngestRow[] = []
  while (!row.isAtEnd) {
    rows.push({
      tenant: row.string(),
      service: row.string(),
      type: row.string(),
      timeMs: Number(row.int64()),
      seriesId: row.uint64(),
      groupId: row.uint64(),
      batchId: row.hex(16),
      durationNs: row.int64(),
      period: row.int64(),
      expected: row.uint64(),
      lost: row.uint64(),
      truncated: row.uint64(),
      unsymbolized: row.uint64(),
      flags: row.uint8(),
      originalTimeMs: Number(row.int64()),
      receivedAtMs: Number(row.int64()),
      retention: row.uint8(),
      stackIds: row.list(row.uint64),
      labelsetIds: row.list(row.uint64),
      values: row.list(row.int64),
    })
  }
  return rows
}
