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

/** A matcher and where its value stands in the text, in UTF-16 units, after the quote. */
export interface PlacedMatcher extends LabelMatcher {
  position: number
}

/**
 * Reads a PromQL vector selector: `{service_name="api",version=~"1\\..*"}`, braces alone or after a
 * metric name, which becomes a matcher of `__name__`. Label names may be quoted, values stand in "",
 * '' or ``, with Go's escapes. Empty text, like `{}`, is no matcher: both take everything, which Prometheus refuses.
 * Regular expressions are not compiled here.
 * Throws BAD_SELECTOR; details.position counts UTF-16 units from 0.
 */
export function parseSelector(text: string): LabelMatcher[] {
  return locateMatchers(text).map(({ name, op, value }) => ({ name, op, value }))
}

/** parseSelector with places, for those who have more to say about a value. */
export function locateMatchers(text: string): PlacedMatcher[] {
  if (text.trim() === '') return []
  const tree = parser.parse(text)
  tree.iterate({
    enter: node => {
      if (node.type.isError) throw badSelector(text, node.from, describe(text, node.from))
    },
  })
  const selector = skipComments(tree.topNode.firstChild)
  if (
    selector === null ||
    selector.name !== 'VectorSelector' ||
    skipComments(selector.nextSibling) !== null
  ) {
    throw badSelector(
      text,
      selector?.from ?? 0,
      'a selector in braces is expected, such as {service_name="api"}',
    )
  }
  const matchers: PlacedMatcher[] = []
  let metricName: string | null = null
  const nameMetric = (node: SyntaxNode, value: string, position: number): void => {
    if (metricName !== null || matchers.some(({ name }) => name === '__name__'))
      throw badSelector(text, node.from, 'a metric name stands there already')
    metricName = value
    matchers.push({ name: '__name__', op: '=', value, position })
  }
  for (let child = selector.firstChild; child !== null; child = child.nextSibling) {
    if (child.name === 'Identifier') nameMetric(child, sourceOf(text, child), child.from)
    else if (child.name === 'LabelMatchers') {
      for (let part = child.firstChild; part !== null; part = part.nextSibling) {
        if (part.name === 'UnquotedLabelMatcher' || part.name === 'QuotedLabelMatcher') {
          const matcher = readMatcher(text, part)
          if (matcher.name === '__name__' && metricName !== null)
            throw badSelector(text, part.from, `the metric name is ${metricName} already`)
          matchers.push(matcher)
        } else if (part.name === 'QuotedLabelName') {
          nameMetric(part, readName(text, part), part.from + 1)
        }
      }
    }
  }
  return matchers
}

function skipComments(node: SyntaxNode | null): SyntaxNode | null {
  let next = node
  while (next !== null && next.name === 'LineComment') next = next.nextSibling
  return next
}

/** The selector in braces that parseSelector reads back; '{}' for none. */
export function formatSelector(matchers: readonly LabelMatcher[]): string {
  const parts = matchers.map(({ name, op, value }) => {
    return `${/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : quote(name)}${op}${quote(value)}`
  })
  return `{${parts.join(',')}}`
}

function readMatcher(text: string, node: SyntaxNode): PlacedMatcher {
  const [name, op, value] = [node.firstChild, node.getChild('MatchOp'), node.lastChild]
  if (name === null || op === null || value === null)
    throw badSelector(text, node.from, describe(text, node.from))
  return {
    name: name.name === 'QuotedLabelName' ? readName(text, name) : sourceOf(text, name),
    op: sourceOf(text, op) as MatchOperator,
    value: unquote(text, value),
    position: value.from + 1,
  }
}

function readName(text: string, node: SyntaxNode): string {
  const name = unquote(text, node)
  if (name === '') throw badSelector(text, node.from, 'a name is empty')
  return name
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
}

/**
 * Go's escapes, as PromQL has them: \x and octal ones are bytes, which together must be UTF-8, and only the quote
 * that encloses a string may be escaped in it. A string in backticks is taken as it is.
 */
function unquote(text: string, node: SyntaxNode): string {
  const source = sourceOf(text, node)
  const quoteMark = source[0]
  const body = source.slice(1, -1)
  if (quoteMark === '`') return body
  const sequence = /\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]?))|[^\\]+/g
  let result = ''
  let bytes: number[] = []
  let bytesAt = 0
  const refuse = (offset: number, reason: string): Error => badSelector(text, node.from + 1 + offset, reason)
  const takeBytes = (): void => {
    if (bytes.length === 0) return
    try {
      result += new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))
    } catch {
      throw refuse(bytesAt, 'the escaped bytes are no UTF-8')
    }
    bytes = []
  }
  for (const match of body.matchAll(sequence)) {
    const [whole, hex, octal, short, long, simple] = match
    const byte = hex !== undefined ? Number.parseInt(hex, 16) : octal ? Number.parseInt(octal, 8) : -1
    if (byte > 255) throw refuse(match.index, 'an octal escape ends at \\377')
    if (byte >= 0) {
      if (bytes.length === 0) bytesAt = match.index
      bytes.push(byte)
      continue
    }
    takeBytes()
    const code = short ?? long
    if (code !== undefined) {
      const point = Number.parseInt(code, 16)
      if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        throw refuse(match.index, 'the escape names no character')
      result += String.fromCodePoint(point)
    } else if (simple === undefined) result += whole
    else {
      const known = simple === quoteMark ? simple : SIMPLE_ESCAPES[simple]
      if (known === undefined)
        throw refuse(match.index, `"\\${simple}" is no escape; write a backslash as \\\\`)
      result += known
    }
  }
  takeBytes()
  return result
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
