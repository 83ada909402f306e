import { changeScale } from '@strobe/profile'
import type { DiffAnswer } from '../../api/types.ts'
import { formatShare } from '../../components/format.ts'
import { differenceFill, rateText } from '../../flamegraph/diff-tree.ts'

const steps = [-1, -0.4, -0.1, 0, 0.1, 0.4, 1]

/** What the colours and edges mean, in words. */
export function Legend({ answer }: { answer: DiffAnswer }) {
  const { totalA, totalB } = answer.tree.nodes
  const scale = changeScale(totalA, totalB)
  const end = answer.normalize === 'share' ? formatShare(scale) : rateText(scale, answer.unit)
  return (
    <span className="flex flex-wrap items-center gap-x-2 text-muted">
      <span className="whitespace-nowrap">less, −{end}</span>
      <span aria-hidden="true" className="flex overflow-hidden rounded-sm">
        {steps.map(step => (
          <span key={step} className="h-3 w-4" style={{ background: differenceFill(step) }} />
        ))}
      </span>
      <span className="whitespace-nowrap">more, +{end}</span>
      <span className="whitespace-nowrap">grey: within noise; + new, − gone; widths: means</span>
    </span>
  )
}
