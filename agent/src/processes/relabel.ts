import { readFileSync, statSync } from 'node:fs'
import { RE2JS } from 're2js'
import { parse } from 'yaml'
import { AgentError } from '../errors.ts'
import { labelValue, type SeriesLabels } from './labels.ts'

const actions = [
  ...['replace', 'keep', 'drop', 'labelmap', 'labeldrop', 'labelkeep', 'lowercase', 'uppercase'],
] as const
type Action = (typeof actions)[number]

export interface RelabelRule {
  sourceLabels: string[]
  separator: string
  regex: RE2JS
  targetLabel: string
  replacement: string
  action: Action
}

const maxFileBytes = 1024 * 1024
const maxRules = 1000
const maxLabels = 40
const knownKeys = ['source_labels', 'separator', 'regex', 'target_label', 'replacement', 'action']
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/**
 * Reads a YAML or JSON file of relabel rules; a list, or a mapping with the list under relabel_configs.
 * Throws RELABEL_FILE_INVALID that names every mistake.
 */
export function loadRelabelRules(path: string): RelabelRule[] {
  let text: string
  try {
    if (statSync(path).size > maxFileBytes) throw new Error(`it is larger than ${maxFileBytes} bytes`)
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new AgentError('RELABEL_FILE_INVALID', `${path} cannot be read: ${(error as Error).message}`, error)
  }
  const mistakes: string[] = []
  const rules = parseRelabelRules(text, mistakes)
  if (mistakes.length > 0)
    throw new AgentError('RELABEL_FILE_INVALID', `${path}: ${mistakes.join('; ')}. See docs/labels.md`)
  return rules
}

/** Mistakes are added as sentences without a full stop; a rule with one is left out. */
export function parseRelabelRules(text: string, mistakes: string[]): RelabelRule[] {
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    mistakes.push(`no YAML: ${(error as Error).message.split('\n')[0]}`)
    return []
  }
  const list = isMapping(value) ? value.relabel_configs : value
  if (!Array.isArray(list) || list.length > maxRules) {
    mistakes.push(`it takes a list of at most ${maxRules} rules`)
    return []
  }
  return list.flatMap((entry, index) => parseRule(entry, `rule ${index + 1}`, mistakes) ?? [])
}

function parseRule(entry: unknown, name: string, mistakes: string[]): RelabelRule | null {
  const before = mistakes.length
  const mistake = (sentence: string) => {
    mistakes.push(`${name}: ${sentence}`)
  }
  if (!isMapping(entry)) {
    mistake('it is no mapping')
    return null
  }
  for (const key of Object.keys(entry))
    if (!knownKeys.includes(key)) mistake(`"${key}" is not known; it takes ${knownKeys.join(', ')}`)
  const text = (key: string, fallback: string): string => {
    const value = entry[key] ?? fallback
    if (typeof value === 'string') return value
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    mistake(`${key} must be text`)
    return fallback
  }
  const sources = entry.source_labels ?? []
  const sourceLabels = Array.isArray(sources) ? sources.map(String) : []
  if (!Array.isArray(sources)) mistake('source_labels must be a list')
  for (const label of sourceLabels) if (!labelName.test(label)) mistake(`"${label}" is no label name`)
  const action = text('action', 'replace').toLowerCase() as Action
  if (!actions.includes(action)) mistake(`action "${action}" is not one of ${actions.join(', ')}`)
  const targetLabel = text('target_label', '')
  const needsTarget = action === 'replace' || action === 'lowercase' || action === 'uppercase'
  if (needsTarget && targetLabel === '') mistake(`action ${action} needs target_label`)
  if (needsTarget && action !== 'replace' && !labelName.test(targetLabel))
    mistake(`"${targetLabel}" is no label name`)
  // As Prometheus: without $ in it, the target is a name.
  if (action === 'replace' && !/^[a-zA-Z_$][\w${}]*$/.test(targetLabel))
    mistake(`"${targetLabel}" is no label name`)
  let regex = RE2JS.compile('')
  try {
    regex = RE2JS.compile(`^(?s:${text('regex', '(.*)')})$`)
  } catch (error) {
    mistake(`regex: ${(error as Error).message}`)
  }
  if (mistakes.length > before) return null
  const separator = text('separator', ';')
  const replacement = text('replacement', '$1')
  return { sourceLabels, separator, regex, targetLabel, replacement, action }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * labels: the series' own; sources: `__...` labels that rules may read and that are never sent.
 * Returns the labels sorted by name, none empty; null when a rule dropped the process.
 * Source of the semantics: prometheus/prometheus model/relabel/relabel.go.
 */
export function applyRelabelRules(
  rules: readonly RelabelRule[],
  labels: SeriesLabels,
  sources: SeriesLabels,
): SeriesLabels | null {
  const values = new Map<string, string>([...sources, ...labels])
  for (const rule of rules) {
    const joined = rule.sourceLabels.map(name => values.get(name) ?? '').join(rule.separator)
    switch (rule.action) {
      case 'keep':
        if (!rule.regex.matcher(joined).matches()) return null
        break
      case 'drop':
        if (rule.regex.matcher(joined).matches()) return null
        break
      case 'lowercase':
        values.set(rule.targetLabel, joined.toLowerCase())
        break
      case 'uppercase':
        values.set(rule.targetLabel, joined.toUpperCase())
        break
      case 'replace': {
        const target = expand(rule.regex, joined, rule.targetLabel)
        if (target === null || !labelName.test(target)) break
        values.set(target, expand(rule.regex, joined, rule.replacement)!)
        break
      }
      case 'labelmap':
        for (const [name, value] of [...values]) {
          const target = expand(rule.regex, name, rule.replacement)
          if (target !== null && labelName.test(target)) values.set(target, value)
        }
        break
      default:
        for (const name of [...values.keys()])
          if (rule.regex.matcher(name).matches() === (rule.action === 'labeldrop')) values.delete(name)
    }
  }
  const kept: [string, string][] = []
  for (const [name, value] of values) {
    const printable = labelValue(value)
    if (!name.startsWith('__') && printable !== '') kept.push([name, printable])
  }
  return kept.sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, maxLabels)
}

/** The template with $1, ${1}, ${name} and $$ filled in; null when the text does not match. */
function expand(regex: RE2JS, text: string, template: string): string | null {
  const matcher = regex.matcher(text)
  if (!matcher.matches()) return null
  return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, plain?: string, braced?: string) => {
    const group = plain ?? braced
    if (group === undefined) return whole === '$$' ? '$' : whole
    try {
      return matcher.group(/^\d+$/.test(group) ? Number(group) : group) ?? ''
    } catch {
      return ''
    }
  })
}
