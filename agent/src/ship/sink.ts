import type { WriteRequest } from '@strobe/proto'

/** Where the windows of an agent go. */
export interface Sink {
  /** Takes over the batch: after it resolves the batch survives what the sink promises to survive. */
  put(batch: WriteRequest): Promise<void>
  /** Hands on what is left, at most until the deadline. */
  close(deadlineMs: number): Promise<void>
}
