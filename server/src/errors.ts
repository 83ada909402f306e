import { status as grpcStatus } from '@grpc/grpc-js'

interface ErrorRule {
  http: number
  grpc: number
}

/** Every code the server answers with, its HTTP status and its gRPC status. */
export const errorRules = {
  BAD_REQUEST: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  BATCH_INVALID: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  PROFILE_MALFORMED: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  PROFILE_EMPTY: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  PROFILE_TIME_OUTSIDE_WINDOW: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  LABEL_MISSING: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  LABEL_TOO_LONG: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  TOO_MANY_LABELS: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  TOO_MANY_PROFILES: { http: 413, grpc: grpcStatus.INVALID_ARGUMENT },
  BODY_TOO_LARGE: { http: 413, grpc: grpcStatus.INVALID_ARGUMENT },
  INFLATED_TOO_LARGE: { http: 413, grpc: grpcStatus.INVALID_ARGUMENT },
  QUEUE_FULL: { http: 429, grpc: grpcStatus.RESOURCE_EXHAUSTED },
  STORE_UNAVAILABLE: { http: 503, grpc: grpcStatus.UNAVAILABLE },
  STORE_REFUSED: { http: 500, grpc: grpcStatus.INTERNAL },
  STORE_IDENTITY_MISMATCH: { http: 500, grpc: grpcStatus.FAILED_PRECONDITION },
  ENGINE_LOCKED: { http: 503, grpc: grpcStatus.UNAVAILABLE },
  ENGINE_MISSING: { http: 503, grpc: grpcStatus.UNAVAILABLE },
  ENGINE_FAILED: { http: 503, grpc: grpcStatus.UNAVAILABLE },
  NOT_FOUND: { http: 404, grpc: grpcStatus.NOT_FOUND },
  UNAUTHENTICATED: { http: 401, grpc: grpcStatus.UNAUTHENTICATED },
  HOST_NOT_ALLOWED: { http: 421, grpc: grpcStatus.PERMISSION_DENIED },
  ORIGIN_NOT_ALLOWED: { http: 403, grpc: grpcStatus.PERMISSION_DENIED },
  CONTENT_TYPE_NOT_ALLOWED: { http: 415, grpc: grpcStatus.INVALID_ARGUMENT },
  QUERY_INVALID: { http: 400, grpc: grpcStatus.INVALID_ARGUMENT },
  QUERY_TOO_LARGE: { http: 422, grpc: grpcStatus.INVALID_ARGUMENT },
  QUERY_TIMEOUT: { http: 504, grpc: grpcStatus.DEADLINE_EXCEEDED },
  QUERY_CANCELLED: { http: 499, grpc: grpcStatus.CANCELLED },
  INTERNAL: { http: 500, grpc: grpcStatus.INTERNAL },
} satisfies Record<string, ErrorRule>

export type ErrorCode = keyof typeof errorRules

export interface ErrorFacts {
  /** What the message says, as data: limit, observed, label, ... */
  details?: Record<string, string | number | boolean>
  retryAfterMs?: number
  cause?: unknown
}

/** An expected failure. The message names the thing, the value, the limit and the way out, without the code. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
  readonly code: ErrorCode
  readonly details: Record<string, string | number | boolean>
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.code = code
    this.details = facts.details ?? {}
    this.retryAfterMs = facts.retryAfterMs
  }

  get httpStatus(): number {
    return errorRules[this.code].http
  }

  get grpcStatus(): number {
    return errorRules[this.code].grpc
  }
}

export function toServerError(error: unknown): ServerError {
  if (error instanceof ServerError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new ServerError('INTERNAL', message, { cause: error })
}
