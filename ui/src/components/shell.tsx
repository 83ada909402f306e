import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, Outlet } from '@tanstack/react-router'
import { FlaskConical, LogOut, Moon, Sun } from 'lucide-react'
import { useEffect, useState } from 'react'
import { Button, Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { useApi } from '../api/api-context.ts'
import { ApiError } from '../api/client.ts'
import { keepKey, readKey } from '../state/session-key.ts'
import { useTheme } from '../state/theme.ts'
import { controlClass, IconButton } from './controls.tsx'
import { ErrorNotice } from './notices.tsx'
import { SignIn } from './sign-in.tsx'

export function Shell() {
  const api = useApi()
  const [theme, toggleTheme] = useTheme()
  const queries = useQueryClient()
  const status = useQuery({ queryKey: ['status'], queryFn: ({ signal }) => api.status(signal) })
  // Kept until a key is good: while it is asked again there is neither answer nor error.
  const [refusal, setRefusal] = useState<ApiError | null>(null)
  useEffect(() => {
    if (status.isSuccess) setRefusal(null)
    else if (status.error instanceof ApiError && ['UNAUTHENTICATED', 'FORBIDDEN'].includes(status.error.code))
      setRefusal(status.error)
  }, [status.isSuccess, status.error])
  return (
    <div className="flex h-full flex-col">
      {/* A button, since the page has a <base> against which '#main' would be another page. */}
      <Button
        className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-2"
        onPress={() => document.getElementById('main')?.focus()}
      >
        Skip to content
      </Button>
      <header className="flex h-11 shrink-0 items-center gap-4 border-b border-line bg-panel px-4">
        <Link to="/services" className="flex items-center gap-2 rounded font-semibold">
          <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="#2457d6" />
            <path d="M6 7h20v4.6H6zM6 13.2h14v4.6H6zM6 19.4h8V24H6z" fill="#fff" />
            <path d="M21.6 13.2H26v4.6h-4.4zM15.6 19.4h4.4V24h-4.4z" fill="#9cc0ff" />
          </svg>
          <span className="text-[15px] tracking-tight">Strobe</span>
        </Link>
        <nav aria-label="Pages">
          <Link
            to="/services"
            className="rounded px-2 py-1 text-muted hover:text-ink"
            activeProps={{ className: 'text-ink font-medium' }}
          >
            Services
          </Link>
        </nav>
        <div className="ml-auto flex items-center gap-3">
          {status.data && <span className="text-dense text-muted max-sm:hidden">{status.data.version}</span>}
          {!refusal && readKey() !== '' && (
            <IconButton
              label="Forget the key"
              onPress={() => {
                keepKey('')
                void queries.resetQueries()
              }}
            >
              <LogOut size={16} aria-hidden="true" />
            </IconButton>
          )}
          <IconButton label={theme === 'dark' ? 'Light theme' : 'Dark theme'} onPress={toggleTheme}>
            {theme === 'dark' ? <Sun size={16} aria-hidden="true" /> : <Moon size={16} aria-hidden="true" />}
          </IconButton>
        </div>
      </header>
      {status.data && status.data.disk.state !== 'ok' && (
        <p role="status" className="border-b border-line bg-panel px-4 py-1.5 text-dense">
          {status.data.disk.state === 'refusing'
            ? 'New profiles are refused: '
            : 'Old profiles are being removed: '}
          {status.data.disk.reason}.
        </p>
      )}
      {status.data?.demo && <DemoBanner />}
      <main id="main" tabIndex={-1} className="flex min-h-0 flex-1 flex-col overflow-auto outline-none">
        {refusal ? <SignIn error={refusal} /> : <Outlet />}
      </main>
    </div>
  )
}

function DemoBanner() {
  const api = useApi()
  const queries = useQueryClient()
  const removal = useMutation({
    mutationFn: () => api.deleteDemoData(),
    onSuccess: () => queries.invalidateQueries(),
  })
  return (
    <section
      aria-label="Demo data"
      className="flex shrink-0 flex-wrap items-center gap-x-3 gap-y-1 border-b border-warn-line bg-warn-bg px-4 py-1.5 text-warn"
    >
      <FlaskConical size={15} aria-hidden="true" />
      <p className="flex-1">
        <strong className="font-semibold">Demo data.</strong> These services are made up.
      </p>
      <DialogTrigger>
        <Button className={`${controlClass} h-7 text-ink`}>Delete demo data</Button>
        <ModalOverlay
          isDismissable
          className="fixed inset-0 z-40 flex items-center justify-center bg-black/40 p-4"
        >
          <Modal className="w-full max-w-md rounded-lg border border-line bg-raised p-5 shadow-xl outline-none">
            <Dialog role="alertdialog" className="flex flex-col gap-3 outline-none">
              {({ close }) => (
                <>
                  <Heading slot="title" className="text-[16px] font-semibold">
                    Delete the demo data?
                  </Heading>
                  <p className="text-muted">
                    The demo services and all their profiles go. Profiles of your own hosts stay.
                  </p>
                  {removal.error && <ErrorNotice error={removal.error} onRetry={() => removal.mutate()} />}
                  <div className="mt-1 flex justify-end gap-2">
                    <Button className={controlClass} onPress={close}>
                      Keep
                    </Button>
                    <Button
                      className="h-8 rounded-control bg-bad px-3 font-medium text-panel data-[disabled]:opacity-50"
                      isDisabled={removal.isPending}
                      onPress={() => removal.mutate(undefined, { onSuccess: close })}
                    >
                      {removal.isPending ? 'Deleting…' : 'Delete'}
                    </Button>
                  </div>
                </>
              )}
            </Dialog>
          </Modal>
        </ModalOverlay>
      </DialogTrigger>
    </section>
  )
}
