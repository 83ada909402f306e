import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Series, SeriesAnswer } from '../api/types.ts'
import { useTheme } from '../state/theme.ts'
import { formatNumber, formatRate, formatTime } from './format.ts'
import { bridgeSteps } from './gaps.ts'
import './time-series.css'

const heightPx = 128
const drawnSeries = 8
/** Differ in lightness too, so that neighbours stay apart without colour. */
const strokes = {
  light: ['#2457d6', '#b3470f', '#0d7a5f', '#8a3fc0', '#6b5200', '#b0226b', '#4c5768', '#0b7fa3'],
  dark: ['#85a9ff', '#ff9f68', '#5fd3b0', '#cf9bff', '#e0c25a', '#ff8fc4', '#b3bccb', '#6fcdf0'],
}

/**
 * CPU or bytes over time. Dragging over the plot picks a range; hatched stretches reported nothing. The
 * legend reads the values under the pointer.
 */
export default function TimeSeries({
  answer,
  range,
  isStale,
  tools,
  onRange,
}: {
  answer: SeriesAnswer
  range: { from: number; to: number }
  isStale: boolean
  /** Stands at the end of the caption. */
  tools: ReactNode
  onRange(from: number, to: number): void
}) {
  const container = useRef<HTMLDivElement>(null)
  const [theme] = useTheme()
  const [index, setIndex] = useState<number | null>(null)
  const brush = useRef(onRange)
  brush.current = onRange
  const series = answer.series.toSorted((a, b) => sumOf(b) - sumOf(a)).slice(0, drawnSeries)
  const hidden = answer.series.length - series.length
  const { times, columns } = align(series)

  // biome-ignore lint/correctness/useExhaustiveDependencies: times, columns and series come from answer
  useLayoutEffect(() => {
    const host = container.current
    if (!host) return
    const style = getComputedStyle(document.documentElement)
    const ink = style.getPropertyValue('--ink-muted')
    const line = style.getPropertyValue('--line')
    const gap = style.getPropertyValue('--gap')
    const font = '11px "Inter Variable", system-ui, sans-serif'
    const plot = new uPlot(
      {
        width: Math.max(host.clientWidth, 100),
        height: heightPx,
        padding: [8, 22, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: {
          x: { time: true, range: () => [range.from / 1000, range.to / 1000] },
          y: { range: (_, __, most) => [0, (most || 1) * 1.1] },
        },
        axes: [
          {
            stroke: ink,
            font,
            size: 24,
            grid: { show: false },
            ticks: { stroke: line, width: 1, size: 4 },
            values: (_, splits) => splits.map(value => formatTick(value * 1000, range.to - range.from)),
          },
          {
            stroke: ink,
            font,
            size: 56,
            grid: { stroke: line, width: 1 },
            ticks: { show: false },
            space: 30,
            values: (_, splits) => splits.map(value => formatRate(value, answer.unit)),
          },
        ],
        series: [
          {},
          ...columns.map((column, which) => {
            const stroke = strokes[theme][which] ?? ink
            return {
              stroke,
              width: 1.5,
              spanGaps: false,
              ...(columns.length === 1 ? { fill: `color-mix(in oklab, ${stroke} 14%, transparent)` } : {}),
              // A lone value between gaps draws no line: give it a dot.
              points: {
                size: 5,
                fill: stroke,
                filter: () => loneValues(column),
                show: true,
              },
            }
          }),
        ],
        hooks: {
          drawClear: [plot => drawGaps(plot, times, columns, answer.stepMs, gap)],
          setCursor: [plot => setIndex(plot.cursor.idx ?? null)],
          setSelect: [
            plot => {
              if (plot.select.width < 3) return
              const from = plot.posToVal(plot.select.left, 'x')
              const to = plot.posToVal(plot.select.left + plot.select.width, 'x')
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
              brush.current(Math.floor(from * 1000), Math.ceil(to * 1000))
            },
          ],
        },
      },
      [times.map(ms => ms / 1000), ...columns],
      host,
    )
    const observer = new ResizeObserver(() =>
      plot.setSize({ width: Math.max(host.clientWidth, 100), height: heightPx }),
    )
    observer.observe(host)
    return () => {
      observer.disconnect()
      plot.destroy()
    }
  }, [answer, range.from, range.to, theme])

  useEffect(
    () => setIndex(current => (current !== null && current >= times.length ? null : current)),
    [times.length],
  )

  const at = index === null ? undefined : times[index]
  return (
    <figure className={`transition-opacity ${isStale ? 'opacity-60' : ''}`}>
      <figcaption className="flex min-h-6 flex-wrap items-center gap-x-4 px-4 pt-1 text-dense">
        <span className="font-medium">{titleOf(answer.unit)}</span>
        {series.map((one, which) => {
          const value = index === null ? undefined : columns[which]?.[index]
          return (
            <span key={nameOf(one)} className="inline-flex items-center gap-1.5 text-muted">
              {(series.length > 1 || Object.keys(one.labels).length > 0) && (
                <>
                  <span
                    aria-hidden="true"
                    className="h-2 w-3 rounded-sm"
                    style={{ background: strokes[theme][which] }}
                  />
                  <span className="font-mono">{nameOf(one)}</span>
                </>
              )}
              <span className="min-w-10 text-ink tabular-nums">
                {index === null ? '' : value == null ? 'nothing reported' : formatRate(value, answer.unit)}
              </span>
            </span>
          )
        })}
        {hidden > 0 && <span className="text-muted">and {hidden} smaller ones, not drawn</span>}
        <span className="ml-auto text-muted tabular-nums max-sm:hidden">
          {at === undefined ? 'Drag to pick a time range' : formatTime(at)}
        </span>
        {tools}
      </figcaption>
      <div
        ref={container}
        className="time-series w-full cursor-crosshair overflow-hidden"
        role="img"
        aria-label={summary(answer)}
        style={{ height: heightPx }}
      />
    </figure>
  )
}

function drawGaps(plot: uPlot, times: number[], columns: Column[], stepMs: number, color: string): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.beginPath()
  times.forEach((ms, at) => {
    if (columns.some(column => column[at] !== null)) return
    const left = Math.max(plot.valToPos(ms / 1000, 'x', true), bbox.left)
    const right = Math.min(plot.valToPos((ms + stepMs) / 1000, 'x', true), bbox.left + bbox.width)
    if (right > left) ctx.rect(left, bbox.top, right - left, bbox.height)
  })
  ctx.clip()
  ctx.strokeStyle = color
  ctx.lineWidth = 1.5 * devicePixelRatio
  ctx.beginPath()
  const apart = 7 * devicePixelRatio
  for (let x = bbox.left - bbox.height; x < bbox.left + bbox.width; x += apart) {
    ctx.moveTo(x, bbox.top + bbox.height)
    ctx.lineTo(x + bbox.height, bbox.top)
  }
  ctx.stroke()
  ctx.restore()
}

function formatTick(ms: number, spanMs: number): string {
  const time = new Date(ms)
  const isMidnight = time.getHours() === 0 && time.getMinutes() === 0 && time.getSeconds() === 0
  if (isMidnight && spanMs > 36e5 * 12) {
    return time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
  }
  return time.toLocaleTimeString('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    ...(spanMs < 6e5 ? { second: '2-digit' } : {}),
  })
}

function sumOf(series: Series): number {
  return series.points.reduce((sum, [, value]) => sum + (value ?? 0), 0)
}

function nameOf(series: Series): string {
  const values = Object.values(series.labels).filter(value => value !== '')
  return values.length === 0 ? '(none)' : values.join(', ')
}

function titleOf(unit: string): string {
  return unit === 'cores' ? 'CPU cores' : unit === 'bytes' ? 'Bytes' : unit
}

type Column = (number | null | undefined)[]

/** One row of times for all series: null is a gap, undefined joins its neighbours. */
function align(series: Series[]): { times: number[]; columns: Column[] } {
  const times = [...new Set(series.flatMap(one => one.points.map(([ms]) => ms)))].sort((a, b) => a - b)
  return {
    times,
    columns: series.map(one => {
      const values = new Map(bridgeSteps(one.points))
      return times.map(ms => values.get(ms))
    }),
  }
}

/** Values with a gap on both sides, which no line goes through. */
function loneValues(column: Column): number[] {
  const known = column.flatMap((value, at) => (value === undefined ? [] : [{ value, at }]))
  return known.flatMap(({ value, at }, which) =>
    value !== null && known[which - 1]?.value == null && known[which + 1]?.value == null ? [at] : [],
  )
}

function summary(answer: SeriesAnswer): string {
  const values = answer.series.flatMap(one =>
    one.points.flatMap(([, value]) => (value === null ? [] : [value])),
  )
  if (values.length === 0) return `${titleOf(answer.unit)} over time: nothing reported`
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return `${titleOf(answer.unit)} over time, ${answer.series.length} series, mean ${formatNumber(mean)}, highest ${formatNumber(Math.max(...values))}`
}
