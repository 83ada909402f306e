import { profileError } from './errors.ts'
import { type Label, murmur3x86x128 } from './identity.ts'

export interface LabelLimits {
  maxLabels: number
  /** UTF-8 bytes, after mapping. */
  maxNameBytes: number
  maxValueBytes: number
}

export const DEFAULT_LABEL_LIMITS: LabelLimits = { maxLabels: 64, maxNameBytes: 256, maxValueBytes: 4096 }

export interface MappedLabels<L extends Label> {
  /** Sorted by name; names are unique and match [A-Za-z_][A-Za-z0-9_]*. */
  labels: L[]
  /** Labels whose name was rewritten. */
  renamed: number
  /** Labels left out because the same name came before with another value. */
  duplicates: number
}

/**
 * Gives labels names that selectors can hold, losing none.
 *
 * 1. Of labels equal in name (and both text or both numeric) the first stays; later ones are counted.
 * 2. In a name, ASCII characters other than letters, digits and _ become _ ; any other character becomes
 *    u and its code point in hex; a leading digit gets _ in front; an empty name becomes _ .
 *    service.name -> service_name      k8s-pod -> k8s_pod      ключ -> u43au43bu44eu447
 * 3. Of several names that then are equal the one that needed no rewriting keeps the name, else the first
 *    in order of the original text, text labels first; each other gets _ and 8 hex digits of its original
 *    name's hash. So the outcome does not depend on the order in which different labels come.
 */
export function mapLabelNames<L extends Label & { unit?: string | null }>(
  given: readonly L[],
): MappedLabels<L> {
  const first = new Map<string, L>()
  for (const label of given) {
    const key = originalKey(label)
    if (!first.has(key)) first.set(key, label)
  }
  const kept = [...first.entries()].sort(([a, x], [b, y]) => {
    const plainness = Number(y.name === mapLabelName(y.name)) - Number(x.name === mapLabelName(x.name))
    return plainness || (a < b ? -1 : 1)
  })
  const taken = new Set<string>()
  let renamed = 0
  const labels = kept.map(([key, label]) => {
    const plain = mapLabelName(label.name)
    let name = plain
    for (let attempt = 0; taken.has(name); attempt++) name = `${plain}_${shortHash(key, attempt)}`
    taken.add(name)
    if (name === label.name) return label
    renamed++
    return { ...label, name }
  })
  labels.sort((a, b) => (a.name < b.name ? -1 : 1))
  return { labels, renamed, duplicates: given.length - kept.length }
}

/** Rule 2 of mapLabelNames, for one name. */
export function mapLabelName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name
  const mapped = name
    .replace(/[\0-\x7f]/g, character => (/[A-Za-z0-9_]/.test(character) ? character : '_'))
    .replace(/[^\0-\x7f]/gu, character => `u${character.codePointAt(0)!.toString(16)}`)
  return mapped === '' || /^[0-9]/.test(mapped) ? `_${mapped}` : mapped
}

/** What rule 3 of mapLabelNames makes of a text label whose plain name another one keeps. */
export function collidedLabelName(name: string): string {
  return `${mapLabelName(name)}_${shortHash(originalKey({ name }), 0)}`
}

/** Leads the name of a sample label in selectors; no label of a series can have it, since names hold no dot. */
export const SAMPLE_LABEL_PREFIX = 'sample.'

/** Throws LABEL_LIMIT, which names the label, its size and the limit. */
export function checkLabels(labels: readonly Label[], limits: LabelLimits = DEFAULT_LABEL_LIMITS): void {
  if (labels.length > limits.maxLabels) {
    throw profileError(
      'LABEL_LIMIT',
      `${labels.length} labels, the limit is ${limits.maxLabels} (maxLabels)`,
      {
        field: 'labels',
        value: labels.length,
        limit: limits.maxLabels,
      },
    )
  }
  const encoder = new TextEncoder()
  const check = (label: string, what: string, text: string, limit: number, setting: string): void => {
    if (3 * text.length <= limit) return
    const size = encoder.encode(text).length
    if (size <= limit) return
    throw profileError(
      'LABEL_LIMIT',
      `label "${label.slice(0, 64)}": the ${what} has ${size} bytes, the limit is ${limit} (${setting})`,
      { field: label.slice(0, 256), value: size, limit },
    )
  }
  for (const label of labels) {
    check(label.name, 'name', label.name, limits.maxNameBytes, 'maxNameBytes')
    check(label.name, 'value', label.value, limits.maxValueBytes, 'maxValueBytes')
  }
}

function originalKey(label: { name: string; unit?: string | null }): string {
  return `${label.name}\0${label.unit === undefined || label.unit === null ? '' : 'number'}`
}

function shortHash(text: string, seed: number): string {
  return murmur3x86x128(new TextEncoder().encode(text), seed)[0].toString(16).padStart(8, '0')
}
