import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import {
  type HeartbeatRequest,
  type HeartbeatResponse,
  ProfileIngest,
  type WriteRequest,
  type WriteResponse,
} from '@strobe/proto'

export interface CallFailure {
  message: string
  /** The server's error code, else the status of the call. */
  code: string
  /** False: the server will never take this message. */
  isRetryable: boolean
  /** What the server asked to wait, 0 when it did not say. */
  retryAfterMs: number
}

export type CallResult<T> = { ok: true; response: T } | { ok: false; failure: CallFailure }

/** Client of strobe.v1.ProfileIngest. Failures are values: each has its place in the agent's life. */
export class IngestClient {
  readonly #client: Client
  readonly #callTimeoutMs: number
  readonly #token: () => string

  /** address: host:port, without TLS. token: the key to send, '' for none. */
  constructor(address: string, callTimeoutMs: number, token: () => string = () => '') {
    this.#token = token
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.max_reconnect_backoff_ms': 5000,
      'grpc.max_receive_message_length': 4 * 1024 * 1024,
    })
    this.#callTimeoutMs = callTimeoutMs
  }

  write(request: WriteRequest, timeoutMs = this.#callTimeoutMs): Promise<CallResult<WriteResponse>> {
    return this.#call(ProfileIngest.method.write, request, timeoutMs)
  }

  heartbeat(request: HeartbeatRequest): Promise<CallResult<HeartbeatResponse>> {
    return this.#call(ProfileIngest.method.heartbeat, request, this.#callTimeoutMs)
  }

  close(): void {
    this.#client.close()
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: { name: string; input: I; output: O },
    request: MessageShape<I>,
    timeoutMs: number,
  ): Promise<CallResult<MessageShape<O>>> {
    const metadata = new Metadata()
    const token = this.#token()
    if (token !== '') metadata.set('authorization', `Bearer ${token}`)
    return new Promise(resolve => {
      this.#client.makeUnaryRequest(
        `/${ProfileIngest.typeName}/${method.name}`,
        message => Buffer.from(toBinary(method.input, message)),
        bytes => fromBinary(method.output, bytes),
        request,
        metadata,
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          if (!error && response) resolve({ ok: true, response })
          else resolve({ ok: false, failure: describeFailure(error) })
        },
      )
    })
  }
}

// A wrong key, a wrong address or an old server can be mended while the batch waits; a bad batch cannot.
const finalCodes = new Set<number>([status.INVALID_ARGUMENT, status.OUT_OF_RANGE])

/** grpc-js itself refuses a message over the server's limit, with the status of a full queue. */
const tooLarge = /larger than max/i

function describeFailure(error: ServiceError | null): CallFailure {
  if (!error)
    return {
      message: 'the server answered nothing',
      code: 'NO_ANSWER',
      isRetryable: true,
      retryAfterMs: 0,
    }
  const told = String(error.metadata?.get('strobe-error-code')[0] ?? '')
  const asked = Number(error.metadata?.get('strobe-retry-after-ms')[0] ?? 0)
  return {
    message: `${status[error.code] ?? error.code}: ${error.details}`,
    code: /^[A-Z][A-Z_]{1,40}$/.test(told) ? told : (status[error.code] ?? 'UNKNOWN'),
    isRetryable: !finalCodes.has(error.code) && !(told === '' && tooLarge.test(error.details)),
    // An hour is the most an agent will believe.
    retryAfterMs: Number.isFinite(asked) ? Math.min(Math.max(asked, 0), 3_600_000) : 0,
  }
}
