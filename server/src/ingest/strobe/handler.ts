import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js'
import {
  type HeartbeatRequest,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
  ProfileIngest,
  type WriteResponse,
  WriteResponseSchema,
} from '@strobe/proto'
import { CodedError, toCodedError } from '../../errors.ts'
import type { DecodedRequest } from '../batch.ts'
import type { Ingest } from '../pipeline.ts'
import { nameTenant } from '../tenant-ingest.ts'
import { checkBatch, readWrite } from './decode.ts'
import { scanWrite } from './scan.ts'

function defineMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: message => Buffer.from(toBinary(method.input, message)),
    requestDeserialize: bytes => fromBinary(method.input, bytes),
    responseSerialize: message => Buffer.from(toBinary(method.output, message)),
    responseDeserialize: bytes => fromBinary(method.output, bytes),
  }
}

/** strobe.v1.ProfileIngest as grpc-js wants it, for clients. */
export const profileIngestService = {
  Write: defineMethod(ProfileIngest.method.write),
  Heartbeat: defineMethod(ProfileIngest.method.heartbeat),
} satisfies ServiceDefinition

/** The same for servers: a batch stays the bytes that were sent, which whoever decodes it wants. */
const servedService = {
  ...profileIngestService,
  Write: { ...profileIngestService.Write, requestDeserialize: (bytes: Buffer): Uint8Array => bytes },
}

export interface StrobeHandlerOptions {
  /** Who calls, by the metadata `authorization`. Rejects with UNAUTHENTICATED or FORBIDDEN. */
  tenantOf?: (authorization: string | undefined) => Promise<string>
  now?: () => number
}

/** A gRPC server with the service on it; the caller binds and closes it. */
export function createGrpcServer(ingest: Ingest, options: StrobeHandlerOptions = {}): Server {
  const server = new Server({
    // A message at the limit plus its framing; grpc-js itself refuses a larger one before it is held.
    'grpc.max_receive_message_length': ingest.settings.limits.maxBodyBytes + 4096,
    'grpc.max_send_message_length': 1024 * 1024,
  })
  server.addService(servedService, createStrobeHandlers(ingest, options))
  return server
}

/** Binds without TLS; port 0 takes a free one. Resolves with the port. */
export function listenGrpc(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error)
      else resolve(bound)
    })
  })
}

export function createStrobeHandlers(ingest: Ingest, options: StrobeHandlerOptions) {
  const tenantOf = async (metadata: Metadata) =>
    options.tenantOf ? options.tenantOf(metadata.get('authorization')[0]?.toString()) : 'default'
  const now = options.now ?? Date.now

  const Write: handleUnaryCall<Uint8Array, WriteResponse> = (call, callback) => {
    let tenant = ''
    const work = async () => {
      tenant = await tenantOf(call.metadata)
      return write(ingest, tenant, call.request, now())
    }
    work().then(
      answer => callback(null, answer),
      (error: unknown) => {
        ingest.countRefusal('strobe', tenant, error)
        callback(toStatus(nameTenant(error, tenant)))
      },
    )
  }
  const Heartbeat: handleUnaryCall<HeartbeatRequest, HeartbeatResponse> = (call, callback) => {
    const answering = tenantOf(call.metadata).then(tenant => heartbeat(ingest, tenant, call.request, now()))
    answering.then(
      answer => callback(null, answer),
      (error: unknown) => callback(toStatus(error)),
    )
  }
  return { Write, Heartbeat }
}

async function write(
  ingest: Ingest,
  tenant: string,
  sent: Uint8Array,
  receivedAtMs: number,
): Promise<WriteResponse> {
  const { batchId, profiles, bodyBytes } = readWrite(() => scanWrite(sent))
  checkBatch(batchId, profiles, ingest.settingsOf(tenant).limits)
  const known = await ingest.findKnown(tenant, batchId)
  if (known) return create(WriteResponseSchema, { profiles: known.profiles, duplicate: true })
  const leave = ingest.enter(tenant, bodyBytes)
  try {
    const release = ingest.reserve(bodyBytes)
    let decoded: DecodedRequest
    try {
      decoded = await ingest.decode({ protocol: 'strobe', tenant, receivedAtMs, request: sent })
    } finally {
      release()
    }
    const answer = await ingest.submit(decoded.batch, 'strobe')
    return create(WriteResponseSchema, { profiles: answer.profiles, duplicate: answer.isDuplicate })
  } finally {
    leave()
  }
}

const states = new Set(['healthy', 'degraded', 'cannot_profile'])

async function heartbeat(
  ingest: Ingest,
  tenant: string,
  request: HeartbeatRequest,
  receivedAtMs: number,
): Promise<HeartbeatResponse> {
  if (request.host === '') throw new CodedError('BATCH_INVALID', 'host is empty')
  if (!states.has(request.state)) {
    throw new CodedError(
      'BATCH_INVALID',
      `state is "${request.state}", it must be one of ${[...states].join(', ')}`,
    )
  }
  await ingest.heartbeat(tenant, {
    host: request.host,
    version: request.version,
    kernel: request.kernel,
    state: request.state,
    reason: request.reason,
    startedAtMs: Number(request.startedUnixNanos / 1_000_000n),
    checks: request.checks.map(({ name, ok, detail, fix }) => ({ name, ok, detail, fix })),
    counters: Object.fromEntries(
      Object.entries(request.counters).map(([name, count]) => [name, count.toString()]),
    ),
    lastSeenMs: receivedAtMs,
  })
  return create(HeartbeatResponseSchema, { heartbeatIntervalMs: ingest.settings.heartbeatIntervalMs })
}

const grpcStatuses: Record<number, status> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  409: status.INVALID_ARGUMENT,
  413: status.INVALID_ARGUMENT,
  429: status.RESOURCE_EXHAUSTED,
  503: status.UNAVAILABLE,
  507: status.UNAVAILABLE,
}

function toStatus(error: unknown): { code: status; details: string; metadata: Metadata } {
  const coded = toCodedError(error)
  const metadata = new Metadata()
  metadata.set('strobe-error-code', coded.code)
  const { retryAfterMs } = coded.details
  if (typeof retryAfterMs === 'number') metadata.set('strobe-retry-after-ms', String(retryAfterMs))
  return {
    code: grpcStatuses[coded.status] ?? status.INTERNAL,
    details: `${coded.code}: ${coded.message}`,
    metadata,
  }
}
