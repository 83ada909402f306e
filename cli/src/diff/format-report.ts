import {
  type ComparedFunction,
  formatShare,
  formatValue,
  type ProfileComparison,
  type SideSummary,
} from '@strobe/profile'
import { formatTable } from '../table.ts'

export interface DiffReport {
  nameA: string
  nameB: string
  type: string
  unit: string
  comparison: ProfileComparison
  /** Functions to list. */
  limit: number
  warnings: string[]
  /** Rare ones that are not among the functions. */
  omittedFunctions: number
}

export const verdictWords = {
  slower: 'Slower',
  faster: 'Faster',
  no_evidence: 'No evidence of a change',
  cannot_compare: 'Cannot compare',
} as const

const stateWords: Record<ComparedFunction['state'], string> = {
  slower: 'worse',
  faster: 'better',
  small: 'small',
  moved: 'moved',
  unclear: 'noise',
  rare: 'rare',
}

/** For people at a terminal. width: its columns. */
export function formatDiffText(report: DiffReport, width: number): string {
  const { comparison } = report
  const lines = [
    `A  ${describeSide(report.nameA, comparison.a, report.unit)}`,
    `B  ${describeSide(report.nameB, comparison.b, report.unit)}`,
    '',
    `${verdictWords[comparison.verdict.state]}: ${comparison.verdict.reason}`,
  ]
  const cause = describeCause(comparison)
  if (cause) lines.push(cause)
  const smallest = describeSmallest(comparison)
  if (smallest) lines.push(smallest)
  for (const warning of report.warnings) lines.push(`Mind: ${warning}`)
  const rows = listed(report)
  if (rows.length > 0) {
    lines.push(
      '',
      formatTable(
        [
          { title: '' },
          { title: 'SELF A', isNumber: true },
          { title: 'SELF B', isNumber: true },
          { title: 'CHANGE', isNumber: true },
          { title: `${comparison.settings.confidence * 100} % INTERVAL`, isNumber: true },
          { title: 'Q', isNumber: true },
          { title: 'MODULE' },
          { title: 'FUNCTION' },
        ],
        rows.map(row => [
          wordOf(row),
          formatShare(row.selfA),
          formatShare(row.selfB),
          points(row.shift),
          `${points(row.low)} … ${points(row.high)}`,
          formatQ(row.q),
          row.module,
          row.name,
        ]),
        width,
      ),
    )
  }
  const left = comparison.tested - rows.length
  const rare = comparison.functions.length - comparison.tested + report.omittedFunctions
  const notes = [
    ...(left > 0 ? [`${left} more (-n lists them)`] : []),
    ...(rare > 0 ? [`${rare} too rare to be tested`] : []),
  ]
  if (notes.length > 0) lines.push(`Other functions: ${notes.join(', ')}`)
  return lines.join('\n')
}

/** For a pull request. */
export function formatDiffMarkdown(report: DiffReport): string {
  const { comparison } = report
  const lines = [
    `### ${verdictWords[comparison.verdict.state]}`,
    '',
    `${capitalize(comparison.verdict.reason)}.`,
    '',
    '| | profile | samples | total |',
    '| --- | --- | ---: | ---: |',
    ...(
      [
        ['A', report.nameA, comparison.a],
        ['B', report.nameB, comparison.b],
      ] as const
    ).map(
      ([side, name, { samples, total }]) =>
        `| ${side} | ${escapeCell(name)} | ${samples} | ${formatValue(total, report.unit)} |`,
    ),
  ]
  const rows = listed(report).filter(({ state }) => state === 'slower' || state === 'faster')
  if (rows.length > 0) {
    lines.push(
      '',
      '| | self A | self B | change | interval | q | function |',
      '| --- | ---: | ---: | ---: | ---: | ---: | --- |',
      ...rows.map(
        row =>
          `| ${wordOf(row)} | ${formatShare(row.selfA)} | ${formatShare(row.selfB)} | ${points(row.shift)} | ` +
          `${points(row.low)} … ${points(row.high)} | ${formatQ(row.q)} | ${escapeCell(row.name)}${row.module ? ` (${escapeCell(row.module)})` : ''} |`,
      ),
    )
  }
  const cause = describeCause(comparison)
  if (cause) lines.push('', escapeCell(cause))
  const smallest = describeSmallest(comparison)
  if (smallest) lines.push('', smallest)
  for (const warning of report.warnings) lines.push('', `Mind: ${warning}`)
  return `${lines.join('\n')}\n`
}

/** Findings whatever the limit, then the other tested ones by size of their change. */
function listed({ comparison, limit }: DiffReport): ComparedFunction[] {
  const tested = comparison.functions.filter(({ state }) => state !== 'rare')
  const findings = tested.filter(({ state }) => state === 'slower' || state === 'faster')
  return tested.slice(0, Math.max(limit, findings.length))
}

function describeSide(name: string, side: SideSummary, unit: string): string {
  const parts = [`${side.samples} samples`, formatValue(side.total, unit)]
  if (side.seconds > 0) parts.push(`in ${formatValue(side.seconds, 'seconds')}`)
  if (side.replicates > 1) parts.unshift(`${side.replicates} profiles`)
  return `${name}: ${parts.join(', ')}`
}

/** '' when the change has no one place. */
function describeCause({ cause, normalization }: ProfileComparison): string {
  const frame = cause?.path.at(-1)
  if (!cause || !frame) return ''
  const size = normalization === 'share' ? ` (${points(cause.change)} of A)` : ''
  return `Most of it lies under ${frame.name}${size}, ${cause.path.length} calls deep`
}

/** What "no evidence" is worth: what would have been seen. */
function describeSmallest({ functions, settings }: ProfileComparison): string {
  const tested = functions.filter(({ state }) => state !== 'rare')
  const example = tested.toSorted((x, y) => y.selfA - x.selfA)[0]
  if (!example?.smallestVisible) return ''
  const typical = tested.toSorted((x, y) => x.smallestVisible! - y.smallestVisible!)[tested.length >> 1]!
  return (
    `Would have been found, ${settings.power * 100} times in 100: ${example.name} growing by ` +
    `${points(example.smallestVisible).replace('+', '')}, the middle one of ${tested.length} functions by ${points(typical.smallestVisible!).replace('+', '')} of the total`
  )
}

function wordOf(row: ComparedFunction): string {
  if (row.state === 'slower' && row.isNew) return 'new'
  if (row.state === 'faster' && row.isGone) return 'gone'
  return stateWords[row.state]
}

/** Share points: 0.1013 -> +10.1 pt. */
export function points(share: number): string {
  const value = share * 100
  const digits = Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3
  const text = Math.abs(value).toFixed(digits)
  const sign = Number(text) === 0 ? '' : value < 0 ? '−' : '+'
  return `${sign}${text} pt`
}

function formatQ(q: number): string {
  return q < 0.0001 ? '<0.0001' : q.toFixed(4)
}

function escapeCell(text: string): string {
  return text.replaceAll(/[|\\`<>*_[\]]/g, '\\$&').replaceAll(/\s+/g, ' ')
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
