/** The label filter of a page, as the vector selector the API takes: {version="1.2",host_name!="a"}. */

export type Operator = '=' | '!=' | '=~' | '!~'

export interface Matcher {
  label: string
  operator: Operator
  value: string
}

const matcherPattern = /\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y

/** null when the text is no selector. */
export function parseSelector(text: string): Matcher[] | null {
  const body = /^\s*\{?([\s\S]*?)\}?\s*$/.exec(text)?.[1] ?? ''
  if (body.trim() === '') return []
  const matchers: Matcher[] = []
  matcherPattern.lastIndex = 0
  while (matcherPattern.lastIndex < body.length) {
    const found = matcherPattern.exec(body)
    if (!found) return null
    matchers.push({
      label: found[1] ?? '',
      operator: (found[2] ?? '=') as Operator,
      value: (found[3] ?? '').replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
    })
  }
  return matchers
}

export function formatMatcher(matcher: Matcher): string {
  const escaped = matcher.value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')
  return `${matcher.label}${matcher.operator}"${escaped}"`
}

/** '' for no matchers. */
export function formatSelector(matchers: Matcher[]): string {
  return matchers.length === 0 ? '' : `{${matchers.map(formatMatcher).join(',')}}`
}

/** What somebody types: label=value without quotes. null while no operator is there. */
export function parseTyped(text: string): Matcher | null {
  const found = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*$/.exec(text)
  if (!found) return null
  return { label: found[1] ?? '', operator: (found[2] ?? '=') as Operator, value: found[3] ?? '' }
}
