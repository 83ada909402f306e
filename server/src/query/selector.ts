import { locateMatchers, type PlacedMatcher } from '@strobe/profile'
import { CodedError } from '../errors.ts'
import type { LabelMatcher } from '../storage/select/statement.ts'
import { compileRegex } from './regex.ts'

export interface Selector {
  /** Of labels: what the store matches. */
  matchers: LabelMatcher[]
  /** The metric name, which is a profile type id or a part of one; '' without one. */
  metricName: string
  /** Whether the selector says anything of `__name__`. */
  hasNames: boolean
  /** Whether all that it says of `__name__` fits a profile type's id. */
  fitsType(id: string): boolean
}

const maxMatchers = 50
const maxRegexLength = 4096

/** Throws BAD_SELECTOR and BAD_REGEX, both with the position in the query. */
export function resolveSelector(query: string): Selector {
  const all = locateMatchers(query)
  if (all.length > maxMatchers)
    throw new CodedError(
      'BAD_SELECTOR',
      `the selector has ${all.length} matchers, the limit is ${maxMatchers}; say more in one regular expression`,
      { observed: all.length, limit: maxMatchers },
    )
  // The store compiles them once more; here a wrong one is told by its place, before anything is read.
  const names = all.flatMap(matcher => {
    const test = compileMatcher(matcher)
    return matcher.name === '__name__' ? [{ ...matcher, test }] : []
  })
  return {
    matchers: all.flatMap(({ name, op, value }) => (name === '__name__' ? [] : [{ name, op, value }])),
    metricName: names.find(({ op }) => op === '=')?.value ?? '',
    hasNames: names.length > 0,
    fitsType(id) {
      const forms = typeForms(id)
      return names.every(({ op, test }) => forms.some(test) === !op.startsWith('!'))
    },
  }
}

function compileMatcher({ name, op, value, position }: PlacedMatcher): (text: string) => boolean {
  if (op === '=' || op === '!=') return text => text === value
  const what = `label ${name}`
  // Alone first: inside the anchors `a)|(b` would be a pattern.
  compileRegex(what, value, { maxLength: maxRegexLength, position })
  return compileRegex(what, `^(?s:${value})$`, { maxLength: maxRegexLength + 10, position }) ?? (() => true)
}

/** What a metric name may call a type: its id, leading parts of it, its sample type. */
function typeForms(id: string): string[] {
  const parts = id.split(':')
  return [...parts.map((_, end) => parts.slice(0, end + 1).join(':')), parts[1] ?? '']
}
