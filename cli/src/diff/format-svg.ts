import { changeScale, type DiffTree, formatShare, isWithinNoise } from '@strobe/profile'
import { cleanText } from '../table.ts'
import { type DiffReport, points, verdictWords } from './format-report.ts'

const width = 1200
const rowHeight = 18
const minWidth = 1
const margin = 10
const header = 64
const maxNodes = 2_500

/**
 * The flame graph of a diff as a picture of its own: widths are the means of both sides, colour is the
 * change, in vermilion where B takes more and in blue where it takes less; what is new has a heavy border,
 * what is gone a dashed one.
 */
export function formatDiffSvg(report: DiffReport): string {
  const diff = report.comparison.tree(maxNodes)
  const boxes = layOut(diff)
  const depth = boxes.reduce((most, box) => Math.max(most, box.depth), 0)
  const height = header + (depth + 1) * rowHeight + margin
  const scale = changeScale(diff.totalA, diff.totalB)
  const title = `${verdictWords[report.comparison.verdict.state]}: ${report.comparison.verdict.reason}`
  const isShare = report.comparison.normalization === 'share'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${margin}" y="20" font-size="14" font-weight="600">${escapeText(shorten(title, width - 2 * margin, 8.4))}</text>`,
    `<text x="${margin}" y="38" fill="#555555">${escapeText(shorten(`A ${report.nameA}   B ${report.nameB}   ${report.type}`, width - 2 * margin, 6.4))}</text>`,
    legend(scale, isShare),
    ...boxes.map(box => drawBox(box, diff, { scale, noise: report.comparison.noise, isShare })),
    '</svg>\n',
  ].join('\n')
}

interface Box {
  node: number
  depth: number
  x: number
  w: number
}

function layOut({ tree }: DiffTree): Box[] {
  const room = width - 2 * margin
  const perWeight = tree.total[0]! > 0 ? room / tree.total[0]! : 0
  const boxes: (Box | undefined)[] = []
  const next: number[] = []
  for (let node = 0; node < tree.parent.length; node++) {
    const parent = tree.parent[node]!
    const above = boxes[parent]
    if (parent >= 0 && !above) continue
    const x = parent < 0 ? margin : next[parent]!
    const w = tree.total[node]! * perWeight
    if (parent >= 0) next[parent]! += w
    if (w < minWidth) continue
    next[node] = x
    boxes[node] = { node, depth: above ? above.depth + 1 : 0, x, w }
  }
  return boxes.filter(box => box !== undefined)
}

function colourOf(change: number, scale: number): string {
  const part = Math.min(1, Math.sqrt(Math.abs(change) / scale))
  const [r, g, b] = change > 0 ? [220, 80, 40] : [60, 130, 235]
  const mix = (to: number): number => Math.round(226 + (to - 226) * part)
  return `rgb(${mix(r)},${mix(g)},${mix(b)})`
}

function drawBox(
  { node, depth, x, w }: Box,
  { tree, totalA, totalB }: DiffTree,
  { scale, noise, isShare }: { scale: number; noise: number; isShare: boolean },
): string {
  const frame = tree.frames[tree.frame[node]!]
  const name = frame?.name ?? 'all'
  const a = totalA[node]!
  const b = totalB[node]!
  const y = header + depth * rowHeight
  const isFolded = frame?.kind === 'omitted'
  const isNew = !isFolded && a === 0
  const isGone = !isFolded && b === 0
  // A border would hide what is as narrow as itself.
  const border =
    w < 6
      ? ''
      : isNew
        ? ' stroke="#8a2b0c" stroke-width="2"'
        : isGone
          ? ' stroke="#173f7a" stroke-width="2" stroke-dasharray="4 2"'
          : ' stroke="#ffffff"'
  const sign = isNew ? '+ ' : isGone ? '− ' : ''
  const text = shorten(sign + name, w - 6, 6.4)
  const facts = isShare
    ? `A ${formatShare(a)}, B ${formatShare(b)}, ${points(b - a)}`
    : `A ${a.toPrecision(4)}, B ${b.toPrecision(4)}`
  return (
    `<g><title>${escapeText(`${name}${frame?.module ? ` (${frame.module})` : ''}: ${facts}`)}</title>` +
    `<rect x="${x.toFixed(1)}" y="${y}" width="${w.toFixed(1)}" height="${rowHeight - 1}" fill="${isFolded ? '#f2f2f2' : colourOf(isWithinNoise(a, b, totalA[0]!, noise) ? 0 : b - a, scale)}"${border}/>` +
    (text ? `<text x="${(x + 3).toFixed(1)}" y="${y + 13}">${escapeText(text)}</text>` : '') +
    '</g>'
  )
}

function legend(scale: number, isShare: boolean): string {
  const steps = [-1, -0.5, -0.25, 0, 0.25, 0.5, 1]
  const label = isShare ? points(scale).replace('+', '') : scale.toPrecision(3)
  const swatches = steps.map(
    (step, index) =>
      `<rect x="${margin + 95 + index * 24}" y="46" width="24" height="12" fill="${colourOf(step * scale, scale)}"/>`,
  )
  const end = margin + 95 + steps.length * 24
  return `<text x="${margin}" y="57" fill="#555555">${escapeText(`less, −${label}`)}</text>${swatches.join('')}<text x="${end + 6}" y="57" fill="#555555">${escapeText(`more, +${label}; grey: within noise; widths are means of A and B; heavy border: new, dashed: gone`)}</text>`
}

/** '' when not even three letters fit. */
function shorten(text: string, room: number, letterWidth: number): string {
  const letters = Math.floor(room / letterWidth)
  if (letters < 3) return ''
  return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`
}

function escapeText(text: string): string {
  return cleanText(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
