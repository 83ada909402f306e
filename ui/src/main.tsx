import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiContext } from './api/api-context.ts'
import { ApiError, createApi } from './api/client.ts'
import { createPageRouter } from './router.tsx'
import { readKey } from './state/session-key.ts'
import './styles.css'

const base = new URL('.', document.baseURI)
const api = createApi(base.href, readKey)
const queries = new QueryClient({
  queryCache: new QueryCache({
    onError(error, query) {
      // A key that was revoked meanwhile: the shell asks for another.
      if (error instanceof ApiError && error.status === 401 && query.queryKey[0] !== 'status')
        void queries.invalidateQueries({ queryKey: ['status'] })
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      gcTime: 120_000,
      refetchOnWindowFocus: false,
      // A refused request is refused again; only a lost one is worth another try.
      retry: (failures, error) =>
        failures < 1 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      retryDelay: 500,
    },
  },
})
const router = createPageRouter(base.pathname)

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <ApiContext value={api}>
        <RouterProvider router={router} />
      </ApiContext>
    </QueryClientProvider>
  </StrictMode>,
)
