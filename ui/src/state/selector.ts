import { formatSelector as format, type LabelMatcher, parseSelector as parse } from '@strobe/profile'

/** null when the text is no selector. */
export function parseSelector(text: string): LabelMatcher[] | null {
  try {
    return parse(text)
  } catch {
    return null
  }
}

/** '' for no matchers, so that the URL can leave the parameter out. */
export function formatSelector(matchers: LabelMatcher[]): string {
  return matchers.length === 0 ? '' : format(matchers)
}

/** What somebody types: label=value without quotes. null while no operator is there. */
export function parseTyped(text: string): LabelMatcher | null {
  const found = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*$/.exec(text)
  if (!found) return null
  return { name: found[1] ?? '', op: (found[2] ?? '=') as LabelMatcher['op'], value: found[3] ?? '' }
}
