/** A thread that decodes: one request comes, its batch or its refusal goes back. Started by decode-pool.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type CodedError, type ErrorCode, type ErrorDetails, toCodedError } from '../errors.ts'
import { SeenScopes } from '../storage/batch-encoder.ts'
import { SeenIds } from '../storage/seen-ids.ts'
import type { DecodedRequest, DecodeJob } from './batch.ts'
import { freeBytes, RequestDecoder } from './request-decoder.ts'

export interface DecodeWorkerData {
  seenIds: SharedArrayBuffer
  secret: Uint8Array
}

export type DecodeReply =
  | { decoded: DecodedRequest }
  | { code: ErrorCode; message: string; details: ErrorDetails }

const { seenIds, secret } = workerData as DecodeWorkerData
const decoder = new RequestDecoder(new SeenIds(seenIds), new SeenScopes(secret))
const port = parentPort!

function answer(job: DecodeJob): DecodeReply {
  try {
    return { decoded: decoder.decode(job) }
  } catch (error) {
    const { code, message, details }: CodedError = toCodedError(error)
    return { code, message, details }
  }
}

port.on('message', (job: DecodeJob) => {
  const reply = answer(job)
  freeBytes(job.protocol === 'strobe' ? job.request : job.body)
  // All columns of a batch lie in this one buffer.
  const buffer = 'decoded' in reply ? reply.decoded.batch.ingest.buffer : null
  port.postMessage(reply, buffer instanceof ArrayBuffer ? [buffer] : [])
})
