/** Every code this package throws, with the sentence that explains it in docs/errors.md. */
export const PROFILE_ERRORS = {
  PPROF_EMPTY: 'The body holds no profile.',
  PPROF_TRUNCATED: 'The body ends inside a field; the upload was cut short.',
  PPROF_VARINT: 'A number takes more than ten bytes; this is not a pprof profile.',
  PPROF_WIRE_TYPE: 'A field has an encoding that pprof does not give it; this is not a pprof profile.',
  PPROF_CONCATENATED: 'Several profiles stand one after another in one body; send them one by one.',
  PPROF_STRING_INDEX: 'A field points outside the string table.',
  PPROF_STRING_ZERO: 'The first entry of the string table is not the empty string.',
  PPROF_NO_SAMPLE_TYPES: 'The profile has samples but does not say what their values mean.',
  PPROF_VALUE_COUNT: 'A sample has more or fewer values than the profile has sample types.',
  PPROF_LOCATION_ZERO: 'A sample names location 0, which pprof reserves.',
  PPROF_LOCATION_UNKNOWN: 'A sample names a location that the profile does not hold.',
  PPROF_DUPLICATE_ID: 'Two mappings, functions or locations share one id.',
  PPROF_ZERO_ID: 'A mapping, function or location has the id 0, which pprof reserves.',
  PPROF_LIMIT: 'The profile is larger than a limit allows.',
  TREE_LENGTH_MISMATCH: 'Stacks and values differ in number.',
  TREE_LIMIT: 'A call tree has more nodes than one query may build.',
  TYPE_INVALID: 'A profile type id does not have five parts.',
  TYPE_UNKNOWN: 'No profile type has that name.',
  TYPE_AMBIGUOUS: 'Several profile types have that name.',
  BAD_SELECTOR: 'The label selector cannot be read.',
  BAD_TIME: 'The time cannot be read.',
  LABEL_LIMIT: 'A label set is larger than a limit allows.',
  FOLDED_EMPTY: 'The text holds no folded stack.',
  TEXT_LIMIT: 'A text profile is larger than a limit allows.',
  SPEEDSCOPE_INVALID: 'The file is not a speedscope profile.',
} as const satisfies Record<string, string>

export type ProfileErrorCode = keyof typeof PROFILE_ERRORS

export type ErrorDetails = Record<string, string | number | boolean | string[]>

/**
 * An expected failure. `message` is a sentence with the facts and without the code; `details` holds the
 * same facts as values, numbers over 2^53 as decimal text. `String(error)` is `CODE: sentence`.
 */
export class StrobeError extends Error {
  readonly code: string
  readonly details: ErrorDetails

  constructor(code: string, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StrobeError'
    this.code = code
    this.details = details
  }

  override toString(): string {
    return `${this.code}: ${this.message}`
  }
}

/** A StrobeError whose code is one of this package's. */
export function profileError(
  code: ProfileErrorCode,
  message: string,
  details: ErrorDetails = {},
): StrobeError {
  return new StrobeError(code, message, details)
}
