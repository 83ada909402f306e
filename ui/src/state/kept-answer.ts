import { useRef } from 'react'

/**
 * The last good answer of a query: still there, and stale, while the next one loads and after it failed.
 * (react-query's own placeholder goes away with an error.)
 */
export function useKeptAnswer<T>(query: { data: T | undefined; isPlaceholderData: boolean }): {
  data: T | undefined
  isStale: boolean
} {
  const kept = useRef<T>(undefined)
  if (query.data !== undefined) kept.current = query.data
  return {
    data: query.data ?? kept.current,
    isStale: query.isPlaceholderData || (query.data === undefined && kept.current !== undefined),
  }
}
