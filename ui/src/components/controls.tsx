import { ChevronDown } from 'lucide-react'
import type { ReactNode } from 'react'
import {
  Button,
  type ButtonProps,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
} from 'react-aria-components'

export const controlClass =
  'inline-flex h-8 items-center gap-1.5 rounded-control border border-line bg-panel px-2.5 text-ui whitespace-nowrap hover:bg-hover data-[pressed]:bg-selected data-[disabled]:opacity-50'
const smallControlClass =
  'inline-flex h-6 items-center gap-1 rounded border border-line bg-panel px-2 text-dense whitespace-nowrap hover:bg-hover'
export const popoverClass =
  'rounded-control border border-line bg-raised p-1 text-ui shadow-lg outline-none data-[entering]:animate-none'
export const optionClass =
  'flex cursor-pointer items-center gap-2 rounded px-2 py-1 outline-none data-[focused]:bg-hover data-[selected]:bg-selected data-[selected]:font-medium'

export function ControlButton({
  className,
  ...props
}: Omit<ButtonProps, 'className'> & { className?: string }) {
  return <Button {...props} className={`${controlClass} ${className ?? ''}`} />
}

export function IconButton({
  label,
  children,
  className,
  ...props
}: Omit<ButtonProps, 'className' | 'children'> & { label: string; children: ReactNode; className?: string }) {
  return (
    <Button
      {...props}
      aria-label={label}
      className={`inline-flex size-8 shrink-0 items-center justify-center rounded-control border border-line bg-panel text-muted hover:bg-hover hover:text-ink data-[pressed]:bg-selected data-[disabled]:opacity-50 ${className ?? ''}`}
    >
      {children}
    </Button>
  )
}

export interface Choice {
  id: string
  text: string
  hint?: string
}

export function ChoicePicker({
  label,
  isSmall = false,
  choices,
  value,
  onChange,
}: {
  label: string
  /** With its label shown, for a line of small text. */
  isSmall?: boolean
  choices: Choice[]
  value: string
  onChange(id: string): void
}) {
  return (
    <Select
      value={value}
      onChange={key => onChange(String(key))}
      className="inline-flex items-center gap-1.5"
      isDisabled={choices.length === 0}
      {...(isSmall ? {} : { 'aria-label': label })}
    >
      {isSmall && <Label className="text-dense text-muted">{label}</Label>}
      <Button className={isSmall ? smallControlClass : controlClass}>
        <SelectValue className="max-w-56 truncate">{({ selectedText }) => selectedText ?? '—'}</SelectValue>
        <ChevronDown size={14} aria-hidden="true" className="text-muted" />
      </Button>
      <Popover className={popoverClass}>
        <ListBox items={choices} className="max-h-80 min-w-44 overflow-auto outline-none">
          {choice => (
            <ListBoxItem id={choice.id} textValue={choice.text} className={optionClass}>
              <span>{choice.text}</span>
              {choice.hint && <span className="ml-auto pl-4 text-dense text-muted">{choice.hint}</span>}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </Select>
  )
}
