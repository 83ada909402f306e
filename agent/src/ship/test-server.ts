import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type handleUnaryCall, Metadata, Server, ServerCredentials, type status } from '@grpc/grpc-js'
import {
  type HeartbeatRequest,
  HeartbeatRequestSchema,
  HeartbeatResponseSchema,
  ProfileIngest,
  type WriteRequest,
  WriteRequestSchema,
  WriteResponseSchema,
} from '@strobe/proto'

/** What the server does with the next call: answer, fail with a status, or store and lose the answer. */
export type Move = 'ok' | 'lose' | { code: status; retryAfterMs?: number; errorCode?: string }

/** A real gRPC server on a free port that keeps batches by id, like the ledger of the real one. */
export async function startTestServer(moves: Move[] = [], port = 0) {
  const stored = new Map<string, number>()
  const batches: WriteRequest[] = []
  const calls: { atMs: number; id: string }[] = []
  const heartbeats: HeartbeatRequest[] = []
  /** Of each report; '' without. */
  const authorizations: string[] = []
  const server = new Server()
  const serialize = (bytes: Uint8Array) => Buffer.from(bytes)
  const write: handleUnaryCall<Buffer, Uint8Array> = (call, answer) => {
    const batch = fromBinary(WriteRequestSchema, call.request)
    const id = Buffer.from(batch.batchId).toString('hex')
    calls.push({ atMs: performance.now(), id })
    const move = moves.shift() ?? 'ok'
    if (typeof move === 'object') {
      const metadata = new Metadata()
      if (move.retryAfterMs) metadata.set('strobe-retry-after-ms', String(move.retryAfterMs))
      if (move.errorCode) metadata.set('strobe-error-code', move.errorCode)
      answer({ code: move.code, details: 'by the test', metadata })
      return
    }
    const duplicate = stored.has(id)
    if (!duplicate) batches.push(batch)
    stored.set(id, (stored.get(id) ?? 0) + (duplicate ? 0 : 1))
    if (move === 'ok') answer(null, toBinary(WriteResponseSchema, create(WriteResponseSchema, { duplicate })))
  }
  const heartbeat: handleUnaryCall<Buffer, Uint8Array> = (call, answer) => {
    authorizations.push(String(call.metadata.get('authorization')[0] ?? ''))
    heartbeats.push(fromBinary(HeartbeatRequestSchema, call.request))
    answer(null, toBinary(HeartbeatResponseSchema, create(HeartbeatResponseSchema, {})))
  }
  server.addService(
    {
      write: {
        path: `/${ProfileIngest.typeName}/Write`,
        ...{
          requestStream: false,
          responseStream: false,
          responseSerialize: serialize,
          requestSerialize: serialize,
        },
        ...{ requestDeserialize: (bytes: Buffer) => bytes, responseDeserialize: (bytes: Buffer) => bytes },
      },
      heartbeat: {
        path: `/${ProfileIngest.typeName}/Heartbeat`,
        ...{
          requestStream: false,
          responseStream: false,
          responseSerialize: serialize,
          requestSerialize: serialize,
        },
        ...{ requestDeserialize: (bytes: Buffer) => bytes, responseDeserialize: (bytes: Buffer) => bytes },
      },
    },
    { write, heartbeat },
  )
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  )
  return {
    address: `127.0.0.1:${bound}`,
    port: bound,
    stored,
    batches,
    calls,
    heartbeats,
    authorizations,
    stop: () => server.forceShutdown(),
  }
}
