/** Every code the server answers with, its HTTP status and its line in docs/errors.md. The gRPC status follows in ingest. */
export const serverErrors = {
  BAD_REQUEST: {
    status: 400,
    sentence: 'A parameter or a field is missing or cannot be read; the message names it.',
  },
  BAD_TIME: {
    status: 400,
    sentence: 'A time is not unix milliseconds, RFC 3339 or `now-15m`, or the range ends before it begins.',
  },
  BAD_SELECTOR: {
    status: 400,
    sentence: 'The label selector is no PromQL vector selector; the message names the position.',
  },
  BAD_REGEX: { status: 400, sentence: 'The regular expression of a selector is not RE2.' },
  TYPE_AMBIGUOUS: {
    status: 400,
    sentence: 'The part of a profile type fits several types; the message lists them.',
  },
  TYPE_UNKNOWN: {
    status: 404,
    sentence: 'No stored profile has that type; the message lists those that are there.',
  },
  PROFILE_MALFORMED: {
    status: 400,
    sentence:
      'The body is no pprof profile, or a damaged one; the message names the cause. Nothing of it was stored.',
  },
  PROFILE_EMPTY: { status: 400, sentence: 'The body holds no profile.' },
  LABEL_INVALID: { status: 400, sentence: 'A label has no name, or a required label is missing.' },
  LABEL_TOO_LONG: { status: 400, sentence: 'A label value is longer than the limit.' },
  LABELS_TOO_MANY: { status: 400, sentence: 'A series has more labels than the limit.' },
  BATCH_INVALID: {
    status: 400,
    sentence: 'A batch of an agent contradicts itself; the message names the field.',
  },
  TIME_OUT_OF_WINDOW: {
    status: 400,
    sentence: 'A profile is dated outside the accepted window; the message names both times.',
  },
  UNAUTHENTICATED: {
    status: 401,
    sentence:
      'The server asks for a key, and none came, or one that is unknown or revoked; the message says how to send one.',
  },
  FORBIDDEN: {
    status: 403,
    sentence: 'The key has another role or belongs to another tenant; the message names what is needed.',
  },
  ORIGIN_NOT_ALLOWED: { status: 403, sentence: 'A browser sent the request from another site.' },
  NOT_DEMO: { status: 403, sentence: 'Only a demo store may be emptied by a request.' },
  NOT_FOUND: { status: 404, sentence: 'There is no such path.' },
  METHOD_NOT_ALLOWED: { status: 405, sentence: 'The path does not take this method.' },
  BATCH_TORN: {
    status: 409,
    sentence:
      'Half of a batch was stored when its server was taken for dead. It is kept as it is, and counted; see docs/decisions/0007-several-servers.md.',
  },
  BODY_TOO_LARGE: { status: 413, sentence: 'The body is larger than the limit, as sent.' },
  PROFILES_TOO_MANY: { status: 413, sentence: 'A batch holds more profiles than one may.' },
  SAMPLES_TOO_MANY: { status: 413, sentence: 'A profile has more samples than one may.' },
  UNPACKED_TOO_LARGE: { status: 413, sentence: 'The body unpacks to more than the limit.' },
  DECODER_DIED: {
    status: 413,
    sentence: 'Decoding the request took more memory than it may, or crashed. Nothing of it was stored.',
  },
  CONTENT_TYPE_NOT_ALLOWED: {
    status: 415,
    sentence: 'The content type is one that a page of another site may send unasked.',
  },
  HOST_NOT_ALLOWED: {
    status: 421,
    sentence: 'The request names a host that this server does not serve; see `--allowed-hosts`.',
  },
  QUERY_TOO_LARGE: {
    status: 422,
    sentence: 'The query needs more memory or rows than one may; narrow the range or the selector.',
  },
  RATE_LIMITED: {
    status: 429,
    sentence:
      'The tenant sent more bytes per second than it may; come again after the time that the answer names.',
  },
  REQUESTS_TOO_MANY: {
    status: 429,
    sentence:
      'The tenant has more requests under way than it may; come again after the time that the answer names.',
  },
  SERIES_TOO_MANY: {
    status: 429,
    sentence:
      'The tenant sent more different series within an hour than it may; one label with ever new values is enough.',
  },
  QUEUE_FULL: {
    status: 429,
    sentence: 'More arrives than can be stored; come again after the time that the answer names.',
  },
  QUERIES_TOO_MANY: {
    status: 429,
    sentence:
      'A tenant has more queries under way than it may, or one waited too long for its turn; come again later.',
  },
  QUERY_CANCELLED: { status: 499, sentence: 'The client went away before the answer.' },
  INTERNAL: { status: 500, sentence: 'A fault of the server; its log has the stack.' },
  PORT_TAKEN: { status: 500, sentence: 'Another program listens on the port; the message names it.' },
  CONFIG_INVALID: { status: 500, sentence: 'Settings cannot be read; the message lists all mistakes.' },
  STORE_IDENTITY_MISMATCH: {
    status: 500,
    sentence: 'The store was written under another rule of ids; use another data folder.',
  },
  STORE_TOO_NEW: {
    status: 500,
    sentence: 'The store was changed by a newer version of Strobe; it was not touched.',
  },
  STORE_NOT_EMPTY: { status: 409, sentence: 'A backup is only restored into an empty data folder.' },
  BACKUP_EXISTS: { status: 409, sentence: 'A backup of that name is there already.' },
  BACKUP_DAMAGED: {
    status: 422,
    sentence: 'Files of a backup are missing or not as they were written; the message names them.',
  },
  BACKUP_FAILED: { status: 500, sentence: 'A backup could not be written; the message has the reason.' },
  STORE_UNREACHABLE: {
    status: 503,
    sentence: 'Nothing answers at STROBE_CLICKHOUSE_URL; the message names the address and the reason.',
  },
  STORE_TLS_FAILED: {
    status: 503,
    sentence:
      'There is no TLS with the store: a certificate is unknown, for another name, expired or missing; the message says which.',
  },
  STORE_LOGIN_REFUSED: {
    status: 503,
    sentence: 'The store knows no such user with that password, or lets it do too little.',
  },
  STORE_DATABASE_MISSING: {
    status: 503,
    sentence: 'The store has no database of the name that STROBE_CLICKHOUSE_URL ends in.',
  },
  STORE_FAILED: { status: 502, sentence: 'The store refused or failed a statement.' },
  STORE_NOT_READY: { status: 503, sentence: 'The store is not up yet, or is being started again.' },
  BACKUP_BUSY: {
    status: 503,
    sentence: 'Other servers wrote all the time, so that no moment could be saved; come again later.',
  },
  SERVER_STOPPING: {
    status: 503,
    sentence: 'The server is ending; another one, or this one later, will take it.',
  },
  DATA_LOCKED: {
    status: 503,
    sentence: 'Another server uses the data folder; the message names its process.',
  },
  ENGINE_LOCKED: {
    status: 503,
    sentence: 'Another engine uses the data folder; the message names its process.',
  },
  ENGINE_MISSING: {
    status: 503,
    sentence: 'The embedded engine is not installed for this platform; set STROBE_CLICKHOUSE_URL.',
  },
  ENGINE_FAILED: { status: 503, sentence: 'The embedded engine ended; it is started again.' },
  QUERY_TOO_SLOW: { status: 504, sentence: 'The query ran longer than one may.' },
  STORE_FULL: {
    status: 507,
    sentence: 'The disk of the store is almost full; nothing is taken, and queries go on.',
  },
  JOURNAL_FAILED: { status: 507, sentence: 'The journal cannot be written; the disk may be full.' },
} as const satisfies Record<string, { status: number; sentence: string }>

export type ErrorCode = keyof typeof serverErrors

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
    return serverErrors[this.code].status
  }
}

/** Anything thrown as an expected failure; INTERNAL for what was not one. */
export function toCodedError(error: unknown): CodedError {
  if (error instanceof CodedError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new CodedError('INTERNAL', message, {}, { cause: error })
}
