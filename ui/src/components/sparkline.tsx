import { formatNumber } from './format.ts'
import { bridgeSteps } from './gaps.ts'

const widthPx = 112
const heightPx = 24

/** A trend without axes; a gap where values are null. Its numbers are spoken as one sentence. */
export function Sparkline({ points, unit }: { points: [number, number | null][]; unit: string }) {
  const values = points.flatMap(([, value]) => (value === null ? [] : [value]))
  if (values.length === 0) return <span className="text-muted">—</span>
  const most = Math.max(...values)
  const least = Math.min(...values)
  const first = points[0]?.[0] ?? 0
  const span = Math.max((points.at(-1)?.[0] ?? 0) - first, 1)
  const x = (ms: number) => 1 + ((ms - first) / span) * (widthPx - 4)
  const y = (value: number) => heightPx - 2 - (value / (most || 1)) * (heightPx - 5)
  const line: string[] = []
  const area: string[] = []
  let run: string[] = []
  let runStart = 0
  let runEnd = 0
  const endRun = () => {
    if (run.length === 0) return
    // A lone value would be a line of no length: give it a pixel.
    const path = run.length === 1 ? `M${run[0]}h1.5` : `M${run.join('L')}`
    line.push(path)
    if (run.length > 1) area.push(`${path}L${runEnd},${heightPx - 1}L${runStart},${heightPx - 1}Z`)
    run = []
  }
  for (const [ms, value] of bridgeSteps(points)) {
    if (value === null) {
      endRun()
      continue
    }
    if (run.length === 0) runStart = Number(x(ms).toFixed(1))
    runEnd = Number(x(ms).toFixed(1))
    run.push(`${runEnd},${y(value).toFixed(1)}`)
  }
  endRun()
  return (
    <svg width={widthPx} height={heightPx} role="img" className="text-accent">
      <title>{`Between ${formatNumber(least)} and ${formatNumber(most)} ${unit}, last ${formatNumber(values.at(-1) ?? 0)}`}</title>
      <path d={area.join('')} fill="currentColor" opacity="0.14" />
      <path d={line.join('')} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  )
}
