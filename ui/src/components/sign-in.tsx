import { useQueryClient } from '@tanstack/react-query'
import { KeyRound } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { Button, Input, Label, TextField } from 'react-aria-components'
import type { ApiError } from '../api/client.ts'
import { keepKey, readKey } from '../state/session-key.ts'

/** In place of the page, when the server asks for a key or the one it got is not good. */
export function SignIn({ error }: { error: ApiError }) {
  const queries = useQueryClient()
  const [key, setKey] = useState('')
  const [failure, setFailure] = useState('')
  const hasTried = readKey() !== ''
  const submit = (event: FormEvent) => {
    event.preventDefault()
    try {
      keepKey(key.trim())
    } catch {
      setFailure('This browser keeps nothing for this page: allow it to, and try again.')
      return
    }
    // What was refused is asked again, with the key.
    void queries.resetQueries()
  }
  const told = failure || (hasTried ? describe(error) : '')
  return (
    <section className="mx-auto flex w-full max-w-md flex-col gap-3 px-4 py-16">
      <h1 className="flex items-center gap-2 text-[18px] leading-7 font-semibold">
        <KeyRound size={18} aria-hidden="true" />
        This server asks for a key
      </h1>
      <p className="text-muted">
        Paste a key with role read. Who runs the server makes one with{' '}
        <code className="font-mono text-dense text-ink">strobe admin keys create --role read</code>.
      </p>
      <form onSubmit={submit} className="flex flex-col gap-3">
        <TextField
          type="password"
          autoComplete="off"
          value={key}
          onChange={setKey}
          // Native validation would not submit another key while the last one is marked as wrong.
          validationBehavior="aria"
          isInvalid={told !== ''}
          className="flex flex-col gap-1"
        >
          <Label className="font-medium">Key</Label>
          <Input className="h-9 rounded-control border border-line bg-panel px-2.5 font-mono text-ui" />
        </TextField>
        {told !== '' && (
          <p role="alert" className="text-bad">
            {told}
          </p>
        )}
        <Button
          type="submit"
          isDisabled={key.trim() === ''}
          className="h-9 rounded-control bg-accent px-3 font-medium text-accent-ink data-[disabled]:opacity-50"
        >
          Open
        </Button>
      </form>
      <p className="text-dense text-muted">
        It is kept in this tab until you close it, and sent to this server only.
      </p>
    </section>
  )
}

/** The server's words are for all clients; a page sends keys by itself. */
function describe(error: ApiError): string {
  const { reason } = (error.details ?? {}) as { reason?: string }
  if (reason === 'unknown') return 'This server does not know that key.'
  return `${error.message[0]?.toUpperCase()}${error.message.slice(1)}.`
}
