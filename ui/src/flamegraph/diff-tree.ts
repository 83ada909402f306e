import { changeScale, isWithinNoise } from '@strobe/profile'
import type { DiffAnswer } from '../api/types.ts'
import { formatNumber, formatShare } from '../components/format.ts'
import { patterns } from './palette.ts'
import { type FlameTree, readTree } from './tree.ts'

/** The tree of a diff: as wide as the mean of both sides, coloured by their difference. */
export function readDiffTree(answer: DiffAnswer): FlameTree {
  const { nodes, ...frames } = answer.tree
  const { selfA, selfB, totalA, totalB } = nodes
  const mean = (a: number[], b: number[]) => a.map((value, node) => (value + (b[node] ?? 0)) / 2)
  const total = mean(totalA, totalB)
  const tree = readTree({
    ...frames,
    unit: answer.unit,
    total: total[0] ?? 0,
    nodes: { name: nodes.name, parent: nodes.parent, self: mean(selfA, selfB), total },
  })
  const scale = changeScale(totalA, totalB)
  const isOmitted = (node: number) => tree.frames[tree.frame[node] ?? -1]?.kind === 'omitted'
  const format = answer.normalize === 'share' ? formatShare : (value: number) => rateText(value, answer.unit)
  return {
    ...tree,
    difference: {
      fill(node) {
        if (isOmitted(node)) return `url(#${patterns.omitted})`
        const [a, b] = [totalA[node] ?? 0, totalB[node] ?? 0]
        return differenceFill(isWithinNoise(a, b, totalA[0] ?? 0, answer.noise) ? 0 : (b - a) / scale)
      },
      facts(node) {
        const a = totalA[node] ?? 0
        const b = totalB[node] ?? 0
        const grown = a > 0 ? ` (${signed((b / a - 1) * 100, value => `${value.toFixed(1)} %`)})` : ', new'
        return `A ${format(a)} → B ${format(b)}, ${signed(b - a, format)}${b > 0 ? grown : ', gone'}`
      },
      mark(node) {
        if (isOmitted(node)) return ''
        if ((totalA[node] ?? 0) === 0 && (totalB[node] ?? 0) > 0) return 'new'
        return (totalB[node] ?? 0) === 0 && (totalA[node] ?? 0) > 0 ? 'gone' : ''
      },
    },
  }
}

/** change: part of the full scale, -1 to 1 and past it. A square root shows small changes too. */
export function differenceFill(change: number): string {
  const part = Math.round(Math.sqrt(Math.min(1, Math.abs(change))) * 100)
  return part === 0
    ? 'var(--frame-quiet)'
    : `color-mix(in oklab, var(--frame-quiet), var(${change > 0 ? '--diff-more' : '--diff-less'}) ${part}%)`
}

export function rateText(value: number, unit: string): string {
  return unit === 'nanoseconds' ? `${formatNumber(value / 1e9)} cores` : `${formatNumber(value)} ${unit}/s`
}

export function signed(value: number, format: (size: number) => string): string {
  return `${value < 0 ? '−' : '+'}${format(Math.abs(value))}`
}
