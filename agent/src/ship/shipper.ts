import { setTimeout as delay } from 'node:timers/promises'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import type { AgentMetrics } from '../metrics.ts'
import type { BackOff } from './back-off.ts'
import type { CallResult, IngestClient } from './ingest-client.ts'
import type { Sink } from './sink.ts'
import type { Spool } from './spool.ts'

export interface ShipperOptions {
  client: Pick<IngestClient, 'write'>
  spool: Spool
  backOff: BackOff
  metrics: AgentMetrics
  /** Told when sending starts to fail ('...'), when it fails for another reason, and when it works again (''). */
  onState: (failure: string) => void
}

/**
 * Sends batches to the server, each from the spool and each until the server answers for good: a batch
 * keeps its id, so a retry after a lost acknowledgement stores nothing twice.
 */
export class Shipper implements Sink {
  readonly #options: ShipperOptions
  readonly #stop = new AbortController()
  #wake: () => void = () => {}
  /** Ends the wait for the call under way. */
  #abandon: () => void = () => {}
  #isDraining = false
  #failure = ''
  readonly #loop: Promise<void>

  constructor(options: ShipperOptions) {
    this.#options = options
    this.#loop = this.#run()
  }

  async put(batch: WriteRequest): Promise<void> {
    try {
      await this.#options.spool.put(batch.batchId, toBinary(WriteRequestSchema, batch))
    } catch (error) {
      this.#options.metrics.add('batches_dropped_unwritable')
      throw error
    }
    this.#wake()
  }

  /** What is not sent by the deadline stays in the spool for the next start. */
  async close(deadlineMs: number): Promise<void> {
    this.#isDraining = true
    this.#wake()
    const timer = setTimeout(() => {
      this.#stop.abort()
      this.#abandon()
    }, deadlineMs)
    await this.#loop
    clearTimeout(timer)
  }

  async #run(): Promise<void> {
    const { spool } = this.#options
    while (!this.#stop.signal.aborted) {
      const waiting = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      const next = await spool.first()
      if (next) {
        const waitMs = await this.#send(next)
        if (waitMs > 0) await delay(waitMs, undefined, { signal: this.#stop.signal }).catch(() => {})
      } else if (this.#isDraining) return
      else await waiting
    }
  }

  /** Returns how long to wait before the next try. */
  async #send(next: NonNullable<Awaited<ReturnType<Spool['first']>>>): Promise<number> {
    const { spool, metrics, backOff, client } = this.#options
    const batch = next.batch && decodeBatch(next.batch, next.entry.name)
    if (!batch) {
      metrics.add('batches_dropped_corrupt')
      await spool.remove(next.entry)
      return 0
    }
    const result: CallResult<{ duplicate: boolean }> | null = await Promise.race([
      client.write(batch),
      new Promise<null>(resolve => {
        this.#abandon = () => resolve(null)
      }),
    ])
    if (result === null) return 0
    if (result.ok) {
      metrics.add('batches_sent')
      if (result.response.duplicate) metrics.add('batches_duplicate')
      await spool.remove(next.entry)
      backOff.reset()
      this.#setFailure('', '')
      return 0
    }
    if (!result.failure.isRetryable) {
      metrics.add('batches_dropped_refused')
      await spool.remove(next.entry)
      this.#setFailure(`the server refused a batch: ${result.failure.message}`, result.failure.code)
      return 0
    }
    metrics.add('batches_retried')
    this.#setFailure(result.failure.message, result.failure.code)
    return backOff.next(result.failure.retryAfterMs)
  }

  /** code: '' for none. The same reason in other words, such as another time to wait, is not told again. */
  #setFailure(failure: string, code: string): void {
    if (code !== this.#failure) this.#options.onState(failure)
    this.#failure = code
  }
}

/** null when the bytes are no batch or not the one the name says. */
function decodeBatch(bytes: Uint8Array, name: string): WriteRequest | null {
  try {
    const batch = fromBinary(WriteRequestSchema, bytes)
    return name.includes(Buffer.from(batch.batchId).toString('hex')) && batch.batchId.length === 16
      ? batch
      : null
  } catch {
    return null
  }
}
