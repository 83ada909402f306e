import type { LabelMatcher } from '@strobe/profile'
import { useQuery } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { useState } from 'react'
import { Button, ComboBox, Input, ListBox, ListBoxItem, Popover } from 'react-aria-components'
import { useApi } from '../api/api-context.ts'
import type { Range } from '../api/client.ts'
import { formatSelector, parseSelector, parseTyped } from '../state/selector.ts'
import { optionClass, popoverClass } from './controls.tsx'

interface Suggestion {
  id: string
  text: string
  matcher: LabelMatcher | null
}

/**
 * Matchers as removable chips, and a field that completes label=value: first the label's name, then its
 * values among the series that the rest of the filter leaves.
 */
export function LabelFilter({
  query,
  scope,
  range,
  onChange,
}: {
  query: string
  /** Selector of everything on the page, such as {service_name="api"}. */
  scope: LabelMatcher[]
  range: Range
  onChange(query: string): void
}) {
  const api = useApi()
  const [text, setText] = useState('')
  // A field made anew is closed; otherwise emptying it opens the list of labels over the page again.
  const [added, setAdded] = useState(0)
  const matchers = parseSelector(query)
  const chosen = matchers ?? []
  const typed = parseTyped(text)
  const scopeQuery = formatSelector([...scope, ...chosen])
  const labels = useQuery({
    queryKey: ['labels', scopeQuery, range],
    queryFn: ({ signal }) => api.labels(scopeQuery, range, signal),
  })
  const values = useQuery({
    queryKey: ['label-values', typed?.name, scopeQuery, range],
    queryFn: ({ signal }) => api.labelValues(typed?.name ?? '', scopeQuery, range, signal),
    enabled: typed !== null && (labels.data?.includes(typed.name) ?? false),
  })

  const suggestions: Suggestion[] = typed
    ? (values.data ?? [])
        .filter(value => value.toLowerCase().includes(typed.value.toLowerCase()))
        .slice(0, 100)
        .map(value => ({
          id: `${typed.name}${typed.op}${value}`,
          text: `${typed.name}${typed.op}${value}`,
          matcher: { ...typed, value },
        }))
    : (labels.data ?? [])
        .filter(label => label !== 'service_name' && label.toLowerCase().includes(text.trim().toLowerCase()))
        .map(label => ({ id: label, text: label, matcher: null }))

  function add(matcher: LabelMatcher): void {
    onChange(formatSelector([...chosen, matcher]))
    setText('')
    setAdded(count => count + 1)
  }

  return (
    <div className="flex min-w-0 flex-wrap items-center gap-1.5">
      {matchers === null && <Chip text={query} isBroken onRemove={() => onChange('')} />}
      {chosen.map((matcher, index) => (
        <Chip
          key={formatSelector([matcher])}
          isFocused={added > 0 && index === chosen.length - 1}
          text={`${matcher.name}${matcher.op}${matcher.value}`}
          onRemove={() => onChange(formatSelector(chosen.filter((_, other) => other !== index)))}
        />
      ))}
      <ComboBox
        key={added}
        aria-label="Filter by label"
        allowsCustomValue
        allowsEmptyCollection
        menuTrigger="focus"
        inputValue={text}
        onInputChange={setText}
        items={suggestions}
        value={null}
        onChange={key => {
          const picked = suggestions.find(one => one.id === key)
          if (picked?.matcher) add(picked.matcher)
          // The chosen label becomes the start of the matcher after the field has put its own text in.
          else if (picked) queueMicrotask(() => setText(`${picked.text}=`))
        }}
      >
        <Input
          placeholder="Filter: label=value"
          className="h-8 w-44 rounded-control border border-line-strong bg-panel px-2.5 text-ui placeholder:text-muted"
          onKeyDown={event => {
            if (event.key === 'Enter' && typed && typed.value !== '') {
              const isPicking = event.currentTarget.getAttribute('aria-activedescendant')
              if (!isPicking) {
                event.preventDefault()
                add(typed)
              }
            }
            if (event.key === 'Backspace' && text === '' && chosen.length > 0) {
              onChange(formatSelector(chosen.slice(0, -1)))
            }
          }}
        />
        <Popover className={`${popoverClass} w-72`} placement="bottom start">
          <ListBox
            className="max-h-72 overflow-auto outline-none"
            renderEmptyState={() => (
              <p className="px-2 py-1 text-muted">
                {labels.isPending || values.isLoading
                  ? 'Looking…'
                  : typed
                    ? 'No such value.'
                    : 'No such label.'}
              </p>
            )}
          >
            {(item: Suggestion) => (
              <ListBoxItem
                id={item.id}
                textValue={item.text}
                className={`${optionClass} font-mono text-dense`}
              >
                {item.text}
              </ListBoxItem>
            )}
          </ListBox>
        </Popover>
      </ComboBox>
    </div>
  )
}

function Chip({
  text,
  isBroken = false,
  isFocused = false,
  onRemove,
}: {
  text: string
  isBroken?: boolean
  /** Takes the focus when it appears. */
  isFocused?: boolean
  onRemove(): void
}) {
  return (
    <span
      className={`inline-flex h-7 items-center gap-1 rounded-full border pl-2.5 font-mono text-dense ${isBroken ? 'border-bad-line bg-bad-bg text-bad' : 'border-line bg-selected'}`}
    >
      <span className="max-w-64 truncate">{isBroken ? `cannot be read: ${text}` : text}</span>
      <Button
        aria-label={`Remove filter ${text}`}
        autoFocus={isFocused}
        className="inline-flex size-6 items-center justify-center rounded-full text-muted hover:text-ink"
        onPress={onRemove}
      >
        <X size={13} aria-hidden="true" />
      </Button>
    </span>
  )
}
