import { RE2JS, RE2JSSyntaxException } from 're2js'
import { CodedError } from '../errors.ts'

export interface RegexPlace {
  maxLength: number
  /** Where the pattern stands in a longer text. */
  position: number
}

/**
 * Whether a text contains a match of an RE2 pattern, in time linear in the text: no pattern of a user can hang
 * the server. null for ''.
 * Throws BAD_REGEX; details.position counts UTF-16 units from 0.
 */
export function compileRegex(
  what: string,
  pattern: string,
  place: RegexPlace = { maxLength: 1000, position: 0 },
): ((text: string) => boolean) | null {
  if (pattern === '') return null
  if (pattern.length > place.maxLength)
    throw new CodedError(
      'BAD_REGEX',
      `${what} has ${pattern.length} characters, a regular expression may have ${place.maxLength}`,
      { what, observed: pattern.length, limit: place.maxLength, position: place.position },
    )
  try {
    const regex = RE2JS.compile(pattern)
    return text => regex.test(text)
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error
    // The library names the part that it did not understand, not where it stands.
    const part = error.getPattern() ?? pattern
    const position = place.position + Math.max(0, pattern.indexOf(part))
    throw new CodedError(
      'BAD_REGEX',
      `${what}: "${pattern}" is no RE2 regular expression: ${error.getDescription()} at character ${position + 1}`,
      { what, regex: pattern, position },
      { cause: error },
    )
  }
}
