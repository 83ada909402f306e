import type { LabelMatcher } from '@strobe/profile'
import { Link } from '@tanstack/react-router'
import { SquareArrowOutUpRight } from 'lucide-react'
import type { Range } from '../../api/client.ts'
import type { DiffSide } from '../../api/types.ts'
import { LabelFilter } from '../../components/label-filter.tsx'
import { RangePicker } from '../../components/range-picker.tsx'
import type { Side } from './sides.ts'
import { SideFacts } from './verdict.tsx'

/** One side: what it is, what it holds, and the way to see it alone. */
export function SideRow({
  letter,
  title,
  service,
  scope,
  side,
  range,
  answer,
  unit,
  onChange,
}: {
  letter: 'A' | 'B'
  title: string
  service: string
  scope: LabelMatcher[]
  side: Side
  /** The side's, resolved once: a range that moves with every drawing would ask for its labels each time. */
  range: Range
  answer: DiffSide | undefined
  unit: string
  onChange(side: Side): void
}) {
  return (
    <fieldset className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1">
      <legend className="sr-only">{`${letter}, ${title}`}</legend>
      <span
        aria-hidden="true"
        title={title}
        className="inline-flex size-6 shrink-0 items-center justify-center rounded border border-line-strong text-dense font-semibold"
      >
        {letter}
      </span>
      <LabelFilter
        query={side.filter}
        scope={scope}
        range={range}
        onChange={filter => onChange({ ...side, filter })}
      />
      <RangePicker from={side.from} to={side.to} onChange={next => onChange({ ...side, ...next })} />
      <Link
        to="/s/$service"
        params={{ service }}
        search={{ q: side.filter, from: side.from, to: side.to }}
        aria-label={`Open ${letter} alone`}
        title={`Open ${letter} alone`}
        className="inline-flex size-8 items-center justify-center rounded-control text-muted hover:text-ink"
      >
        <SquareArrowOutUpRight size={14} aria-hidden="true" />
      </Link>
      {answer && <SideFacts side={answer} unit={unit} />}
    </fieldset>
  )
}
