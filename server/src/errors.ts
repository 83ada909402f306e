/** Every code the server answers with, and its HTTP status. The gRPC status follows from it in ingest. */
export const errorStatuses = {
  BAD_REQUEST: 400,
  BAD_TIME: 400,
  BAD_SELECTOR: 400,
  BAD_REGEX: 400,
  TYPE_REQUIRED: 400,
  TYPE_AMBIGUOUS: 400,
  TYPE_UNKNOWN: 404,
  PROFILE_MALFORMED: 400,
  PROFILE_EMPTY: 400,
  LABEL_INVALID: 400,
  LABEL_TOO_LONG: 400,
  BATCH_INVALID: 400,
  TIME_OUT_OF_WINDOW: 400,
  UNAUTHENTICATED: 401,
  ORIGIN_NOT_ALLOWED: 403,
  NOT_DEMO: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  BODY_TOO_LARGE: 413,
  CONTENT_TYPE_NOT_ALLOWED: 415,
  HOST_NOT_ALLOWED: 421,
  RATE_LIMITED: 429,
  QUERY_CANCELLED: 499,
  INTERNAL: 500,
  STORE_FAILED: 502,
  STORE_NOT_READY: 503,
  STORE_FULL: 507,
  SERVER_STOPPING: 503,
  QUERY_TOO_SLOW: 504,
  QUERY_TOO_LARGE: 422,
  PORT_TAKEN: 500,
  CONFIG_INVALID: 500,
  LABELS_TOO_MANY: 400,
  PROFILES_TOO_MANY: 413,
  UNPACKED_TOO_LARGE: 413,
  QUEUE_FULL: 429,
  STORE_IDENTITY_MISMATCH: 500,
  JOURNAL_FAILED: 507,
  ENGINE_LOCKED: 503,
  ENGINE_MISSING: 503,
  ENGINE_FAILED: 503,
} as const

export type ErrorCode = keyof typeof errorStatuses

export type ErrorDetails = Record<string, string | number | boolean | string[]>

/**
 * An expected failure. `message` is a whole sentence that names the thing, its value, the limit and
 * the way out; `details` carries the same facts for programs; retryAfterMs there tells when to come again.
 */
export class CodedError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CodedError'
    this.code = code
    this.details = details
  }

  get status(): number {
    return errorStatuses[this.code]
  }
}

/** Anything thrown as an expected failure; INTERNAL for what was not one. */
export function toCodedError(error: unknown): CodedError {
  if (error instanceof CodedError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new CodedError('INTERNAL', message, {}, { cause: error })
}
