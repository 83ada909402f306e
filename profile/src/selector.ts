import type { SyntaxNode } from '@lezer/common'
import { parser } from '@prometheus-io/lezer-promql'
import { profileError } from './errors.ts'

export type MatchOperator = '=' | '!=' | '=~' | '!~'

/** A regular expression matches the whole value. */
export interface LabelMatcher {
  name: string
  op: MatchOperator
  value: string
}

/**
 * Reads a PromQL vector selector: `{service_name="api",version=~"1\\..*"}`, braces alone or after a
 * metric name, which becomes a matcher of `__name__`. Label names may be quoted, values stand in "",
 * '' or ``. Empty text is no matcher. Regular expressions are not compiled here.
 * Throws BAD_SELECTOR; details.position counts UTF-16 units from 0.
 */
export function parseSelector(text: string): LabelMatcher[] {
  if (text.trim() === '') return []
  const tree = parser.parse(text)
  tree.iterate({
    enter: node => {
      if (node.type.isError) throw badSelector(text, node.from, describe(text, node.from))
    },
  })
  const selector = tree.topNode.firstChild
  if (selector === null || selector.name !== 'VectorSelector' || selector.nextSibling !== null) {
    throw badSelector(
      text,
      selector?.from ?? 0,
      'a selector in braces is expected, such as {service_name="api"}',
    )
  }
  const matchers: LabelMatcher[] = []
  for (let child = selector.firstChild; child !== null; child = child.nextSibling) {
    if (child.name === 'Identifier')
      matchers.push({ name: '__name__', op: '=', value: sourceOf(text, child) })
    else if (child.name === 'LabelMatchers') {
      for (let part = child.firstChild; part !== null; part = part.nextSibling) {
        if (part.name === 'UnquotedLabelMatcher' || part.name === 'QuotedLabelMatcher') {
          matchers.push(readMatcher(text, part))
        } else if (part.name === 'QuotedLabelName') {
          matchers.push({ name: '__name__', op: '=', value: unquote(text, part) })
        }
      }
    }
  }
  return matchers
}

/** The selector in braces that parseSelector reads back; '{}' for none. */
export function formatSelector(matchers: readonly LabelMatcher[]): string {
  const parts = matchers.map(({ name, op, value }) => {
    return `${/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : quote(name)}${op}${quote(value)}`
  })
  return `{${parts.join(',')}}`
}

function readMatcher(text: string, node: SyntaxNode): LabelMatcher {
  const [name, op, value] = [node.firstChild, node.getChild('MatchOp'), node.lastChild]
  if (name === null || op === null || value === null)
    throw badSelector(text, node.from, describe(text, node.from))
  return {
    name: name.name === 'QuotedLabelName' ? unquote(text, name) : sourceOf(text, name),
    op: sourceOf(text, op) as MatchOperator,
    value: unquote(text, value),
  }
}

function sourceOf(text: string, node: SyntaxNode): string {
  return text.slice(node.from, node.to)
}

const SIMPLE_ESCAPES: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
}

/** Go's escapes, as PromQL has them; a string in backticks is taken as it is. */
function unquote(text: string, node: SyntaxNode): string {
  const source = sourceOf(text, node)
  const body = source.slice(1, -1)
  if (source.startsWith('`')) return body
  const sequence = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([\s\S]?))/g
  return body.replace(sequence, (_, hex, short, long, octal, simple, offset: number) => {
    const code = hex ?? short ?? long
    const point =
      code !== undefined ? Number.parseInt(code, 16) : octal !== undefined ? Number.parseInt(octal, 8) : -1
    if (point > 0x10ffff) throw badSelector(text, node.from + 1 + offset, 'the escape names no character')
    if (point >= 0) return String.fromCodePoint(point)
    const known = SIMPLE_ESCAPES[simple]
    if (known === undefined) {
      throw badSelector(text, node.from + 1 + offset, `"\\${simple}" is no escape; write a backslash as \\\\`)
    }
    return known
  })
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`
}

function describe(text: string, position: number): string {
  if (position >= text.trimEnd().length) return 'the selector ends too early'
  return `"${text.slice(position, position + 20)}" is not understood`
}

function badSelector(text: string, position: number, reason: string): Error {
  return profileError(
    'BAD_SELECTOR',
    `the selector ${text.slice(0, 200)} at character ${position + 1}: ${reason}`,
    {
      selector: text.slice(0, 1000),
      position,
    },
  )
}
