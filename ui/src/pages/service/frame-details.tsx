import { Copy } from 'lucide-react'
import type { ReactNode } from 'react'
import type { Meta } from '../../api/types.ts'
import { IconButton } from '../../components/controls.tsx'
import { countOf, formatNumber, formatShare, formatWeight } from '../../components/format.ts'
import { type FlameTree, frameOf } from '../../flamegraph/tree.ts'

/** The frame under the pointer or the keyboard, else the zoomed one: no tooltip is needed to read it. */
export function FrameDetails({ tree, node, meta }: { tree: FlameTree; node: number; meta: Meta }) {
  const frame = frameOf(tree, node)
  const total = tree.totals[node] ?? 0
  const self = tree.self[node] ?? 0
  const share = (weight: number) => formatShare(weight / (tree.total || 1))
  return (
    <section
      aria-label="Selected frame"
      className="flex min-h-11 shrink-0 flex-wrap items-center gap-x-5 gap-y-1 border-t border-line bg-panel px-4 py-1.5 text-dense"
    >
      <span className="flex min-w-0 flex-1 basis-72 items-center gap-2">
        <span className="truncate font-mono" title={frame.name}>
          {node === 0 ? 'All frames' : frame.name}
        </span>
        {node > 0 && (
          <IconButton
            label="Copy the frame's name"
            className="size-6 border-transparent bg-transparent"
            onPress={() => navigator.clipboard?.writeText(frame.name)}
          >
            <Copy size={13} aria-hidden="true" />
          </IconButton>
        )}
      </span>
      <dl className="flex flex-wrap gap-x-5 gap-y-1 tabular-nums">
        {frame.file && <Fact name="File">{shortPath(frame.file)}</Fact>}
        {frame.module && <Fact name="Module">{frame.module}</Fact>}
        <Fact name="Self">
          {formatWeight(self, tree.unit)} · {share(self)}
        </Fact>
        <Fact name="Total">
          {formatWeight(total, tree.unit)} · {share(total)}
        </Fact>
        {tree.unit === 'nanoseconds' && meta.coveredSeconds > 0 && (
          <Fact name="Cores">{formatNumber(total / 1e9 / meta.coveredSeconds)}</Fact>
        )}
      </dl>
    </section>
  )
}

function shortPath(file: string): string {
  const parts = file.split('/')
  return parts.length > 3 ? `…/${parts.slice(-2).join('/')}` : file
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex gap-1.5">
      <dt className="text-muted">{name}</dt>
      <dd className="max-w-64 truncate">{children}</dd>
    </div>
  )
}

/** What the picture leaves out; every weight of the selection is in it or named here. */
export function CoverageFooter({
  meta,
  omittedShare,
  unsymbolizedShare,
}: {
  meta: Meta
  omittedShare: number
  unsymbolizedShare: number
}) {
  const samples = Math.max(meta.expected, 1)
  const facts = [
    `100% of ${countOf(meta.profiles, 'profile')} shown`,
    `${formatShare(omittedShare)} in smaller frames`,
    `${formatShare(unsymbolizedShare)} unsymbolized`,
    ...(meta.truncated > 0 ? [`${formatShare(meta.truncated / samples)} of stacks cut short`] : []),
    ...(meta.lost > 0 ? [`${formatShare(meta.lost / samples)} of samples lost`] : []),
    `${meta.missingMinutes} of ${meta.minutes} min missing`,
  ]
  return (
    <footer className="flex min-h-7 shrink-0 flex-wrap items-center gap-x-3 border-t border-line px-4 py-1 text-dense text-muted tabular-nums">
      {facts.map((fact, index) => (
        <span key={fact} className="flex items-center gap-3">
          {index > 0 && <span aria-hidden="true">·</span>}
          {fact}
        </span>
      ))}
      <span className="ml-auto max-sm:hidden">
        {meta.rowsRead > 0 && `${meta.rowsRead.toLocaleString('en')} rows read in `}
        {formatNumber(meta.elapsedMs)} ms
      </span>
    </footer>
  )
}
