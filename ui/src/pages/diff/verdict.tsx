import { CircleCheck, CircleHelp, CircleX, TrendingDown, TrendingUp } from 'lucide-react'
import type { DiffAnswer, DiffSide } from '../../api/types.ts'
import { countOf, formatNumber, formatWeight } from '../../components/format.ts'
import { WarningStrip } from '../../components/notices.tsx'
import { rateText, signed } from '../../flamegraph/diff-tree.ts'
import { shortName } from '../../flamegraph/tree.ts'

const words = {
  slower: { title: 'Slower', Icon: TrendingUp, tone: 'text-bad' },
  faster: { title: 'Faster', Icon: TrendingDown, tone: 'text-good' },
  no_evidence: { title: 'No evidence of a change', Icon: CircleCheck, tone: 'text-ink' },
  cannot_compare: { title: 'Cannot compare', Icon: CircleX, tone: 'text-warn' },
} as const

/** What the diff says, the numbers it rests on, and what it could have seen. */
export function VerdictPanel({ answer, onFind }: { answer: DiffAnswer; onFind(term: string): void }) {
  const { cause } = answer
  const { title, Icon, tone } = words[answer.verdict.state]
  return (
    <section aria-label="Verdict" className="shrink-0 bg-panel px-4 py-2">
      <h2 className={`flex items-center gap-2 text-[16px] font-semibold ${tone}`}>
        <Icon size={18} aria-hidden="true" />
        {title}
      </h2>
      <p className="max-w-5xl">
        {capitalize(answer.verdict.reason)}.{cause && <Cause answer={answer} onFind={onFind} />}
      </p>
      <p className="flex max-w-5xl items-start gap-x-1 text-dense text-muted">
        <CircleHelp size={14} aria-hidden="true" className="mt-px shrink-0" />
        <span>{describeSight(answer)}</span>
      </p>
      {answer.warnings.length > 0 && (
        <div className="-mx-4 mt-1.5 -mb-2">
          {answer.warnings.map(warning => (
            <WarningStrip key={warning}>{capitalize(warning)}.</WarningStrip>
          ))}
        </div>
      )}
    </section>
  )
}

function Cause({ answer, onFind }: { answer: DiffAnswer; onFind(term: string): void }) {
  const frame = answer.cause?.path.at(-1)
  if (!answer.cause || !frame) return null
  const size =
    answer.normalize === 'share'
      ? `${signed(answer.cause.change * 100, value => value.toFixed(1))} points of A`
      : signed(answer.cause.change, value => rateText(value, answer.unit))
  return (
    <>
      {' '}
      Most of it lies under{' '}
      <button
        type="button"
        className="rounded font-mono text-dense text-accent hover:underline"
        title={frame.name}
        onClick={() => onFind(`"${frame.name}"`)}
      >
        {shortName(frame.name)}
      </button>{' '}
      ({size}).
    </>
  )
}

/** "A 5 instances, 12,400 samples, 2.1 cores". */
export function SideFacts({ side, unit }: { side: DiffSide; unit: string }) {
  const facts = [
    countOf(side.instances, 'instance'),
    countOf(side.samples, 'sample'),
    formatWeight(side.total, unit),
  ]
  if (unit === 'nanoseconds' && side.seconds > 0 && side.instances > 0)
    facts.push(`${formatNumber(side.total / 1e9 / side.seconds)} cores an instance`)
  const { missingMinutes, minutes } = side.meta
  if (missingMinutes > 0) facts.push(`${minutes - missingMinutes} of ${minutes} min covered`)
  return <span className="text-dense text-muted tabular-nums">{facts.join(' · ')}</span>
}

const methodWords = {
  ranks: 'by ranks of instances, or of stretches of time where those are few',
  pooled: 'with samples pooled',
  mixed: 'by ranks, or with samples pooled where those are few',
} as const

function describeSight({ functions, tested, method }: DiffAnswer): string {
  const visible = functions.flatMap(({ smallestVisible }) =>
    smallestVisible === null ? [] : [smallestVisible],
  )
  if (visible.length === 0) return 'No function has enough samples to be tested.'
  visible.sort((x, y) => x - y)
  const middle = visible[visible.length >> 1] ?? 0
  return (
    `${countOf(tested, 'function')} tested ${methodWords[method]}. A typical one that grew by ${(middle * 100).toPrecision(2)} points of ` +
    'the total would have been found 80 times in 100; of the findings at most 5 in 100 are expected to be false.'
  )
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
