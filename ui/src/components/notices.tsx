import { CircleAlert, RotateCw, TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '../api/client.ts'
import { ControlButton } from './controls.tsx'

/** What failed, its code and a way to try again. */
export function ErrorNotice({
  error,
  isDataKept = false,
  onRetry,
}: {
  error: Error
  isDataKept?: boolean
  onRetry(): void
}) {
  return (
    <div
      role="alert"
      className="flex flex-wrap items-center gap-x-3 gap-y-2 rounded-control border border-bad-line bg-bad-bg px-3 py-2 text-bad"
    >
      <CircleAlert size={16} aria-hidden="true" className="shrink-0" />
      <p className="min-w-0 flex-1">
        {error.message}{' '}
        {error instanceof ApiError && <code className="font-mono text-dense">({error.code})</code>}
        {isDataKept && ' What you see is the last good answer.'}
      </p>
      <ControlButton onPress={onRetry}>
        <RotateCw size={14} aria-hidden="true" />
        Retry
      </ControlButton>
    </div>
  )
}

export function WarningStrip({ children }: { children: ReactNode }) {
  return (
    <p className="flex items-center gap-2 border-y border-warn-line bg-warn-bg px-4 py-1 text-warn">
      <TriangleAlert size={14} aria-hidden="true" className="shrink-0" />
      <span>{children}</span>
    </p>
  )
}

export function EmptyNotice({
  title,
  children,
  actions,
}: {
  title: string
  children: ReactNode
  actions?: ReactNode
}) {
  return (
    <section className="mx-auto flex max-w-xl flex-col items-start gap-2 p-8">
      <h2 className="text-[16px] leading-6 font-semibold">{title}</h2>
      <div className="text-muted">{children}</div>
      {actions && <div className="mt-2 flex flex-wrap gap-2">{actions}</div>}
    </section>
  )
}
