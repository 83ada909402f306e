import { ChevronDown, Clock } from 'lucide-react'
import { useState } from 'react'
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components'
import { describeRange, presets, resolveRange } from '../state/time-range.ts'
import { controlClass, popoverClass } from './controls.tsx'

const inputClass = 'h-8 w-full rounded-control border border-line-strong bg-panel px-2 tabular-nums'

/** The value of an <input type="datetime-local">: local time without a zone. */
function toLocalInput(ms: number): string {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000)
  return local.toISOString().slice(0, 19)
}

export function RangePicker({
  from,
  to,
  onChange,
}: {
  from: string
  to: string
  onChange(range: { from: string; to: string }): void
}) {
  return (
    <DialogTrigger>
      <Button className={controlClass} aria-label={`Time range: ${describeRange(from, to)}`}>
        <Clock size={14} aria-hidden="true" className="text-muted" />
        <span className="tabular-nums">{describeRange(from, to)}</span>
        <ChevronDown size={14} aria-hidden="true" className="text-muted" />
      </Button>
      <Popover className={`${popoverClass} p-2`} placement="bottom end">
        <Dialog aria-label="Time range" className="outline-none">
          {({ close }) => (
            <RangeForm
              from={from}
              to={to}
              onChange={range => {
                onChange(range)
                close()
              }}
            />
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  )
}

function RangeForm({
  from,
  to,
  onChange,
}: {
  from: string
  to: string
  onChange(range: { from: string; to: string }): void
}) {
  const now = resolveRange(from, to, Date.now())
  const [start, setStart] = useState(toLocalInput(now.from))
  const [end, setEnd] = useState(toLocalInput(now.to))
  const startMs = new Date(start).getTime()
  const endMs = new Date(end).getTime()
  const isValid = startMs < endMs
  return (
    <div className="flex flex-wrap gap-3">
      <ul className="flex w-40 flex-col">
        {presets.map(preset => (
          <li key={preset.from}>
            <Button
              className={`w-full rounded px-2 py-1 text-left hover:bg-hover ${from === preset.from && to === 'now' ? 'bg-selected font-medium' : ''}`}
              onPress={() => onChange({ from: preset.from, to: 'now' })}
            >
              {preset.label}
            </Button>
          </li>
        ))}
      </ul>
      <form
        className="flex w-56 flex-col gap-2 border-line sm:border-l sm:pl-3"
        onSubmit={event => {
          event.preventDefault()
          if (isValid) onChange({ from: String(startMs), to: String(endMs) })
        }}
      >
        <label className="text-dense text-muted">
          From
          <input
            type="datetime-local"
            step="1"
            className={`${inputClass} text-ui text-ink`}
            value={start}
            onChange={event => setStart(event.target.value)}
          />
        </label>
        <label className="text-dense text-muted">
          To
          <input
            type="datetime-local"
            step="1"
            className={`${inputClass} text-ui text-ink`}
            value={end}
            onChange={event => setEnd(event.target.value)}
          />
        </label>
        <p aria-live="polite" className="min-h-4 text-dense text-bad">
          {isValid ? '' : 'The start must be before the end.'}
        </p>
        <Button
          type="submit"
          isDisabled={!isValid}
          className="h-8 rounded-control bg-accent px-3 font-medium text-accent-ink data-[disabled]:opacity-50"
        >
          Apply
        </Button>
      </form>
    </div>
  )
}
