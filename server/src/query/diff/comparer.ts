import { Worker } from 'node:worker_threads'
import { CodedError } from '../../errors.ts'
import type { CompareAnswer, CompareInput } from './compare-sides.ts'

export interface Comparer {
  /**
   * Compares in a thread of its own. input's columns are copied.
   * Throws QUERY_CANCELLED when the signal fires, QUERY_TOO_SLOW: either ends the thread.
   */
  run(input: CompareInput, signal: AbortSignal | undefined): Promise<CompareAnswer>
  stop(): Promise<void>
}

/** A thread that is done waits for the next comparison; a second one at the same time gets its own. */
export function createComparer(timeoutMs: number): Comparer {
  let idle: Worker | null = null
  const all = new Set<Worker>()

  function start(): Worker {
    const thread = new Worker(new URL('./compare-thread.ts', import.meta.url))
    all.add(thread)
    thread.on('exit', () => {
      all.delete(thread)
      if (idle === thread) idle = null
    })
    // A fault while nobody waits has nobody to tell; 'exit' follows.
    thread.on('error', () => {})
    // A server that ends does not wait for it.
    thread.unref()
    return thread
  }

  return {
    run(input, signal) {
      const thread = idle ?? start()
      idle = null
      return new Promise((resolve, reject) => {
        const settle = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', onAbort)
          thread.off('message', onMessage).off('error', onError).off('exit', onExit)
        }
        const end = (error: Error) => {
          settle()
          void thread.terminate()
          reject(error)
        }
        const onMessage = (answer: CompareAnswer) => {
          settle()
          if (idle) void thread.terminate()
          else idle = thread
          resolve(answer)
        }
        const onError = (error: Error) => end(error)
        const onExit = () => end(new CodedError('INTERNAL', 'the comparison ended without an answer'))
        const onAbort = () =>
          end(new CodedError('QUERY_CANCELLED', 'the query was cancelled because the client went away'))
        const timer = setTimeout(() => {
          end(
            new CodedError(
              'QUERY_TOO_SLOW',
              `the comparison took longer than ${timeoutMs} ms (STROBE_QUERY_TIMEOUT); take shorter ranges`,
              { limitMs: timeoutMs },
            ),
          )
        }, timeoutMs)
        thread.on('message', onMessage).on('error', onError).on('exit', onExit)
        if (signal?.aborted) return onAbort()
        signal?.addEventListener('abort', onAbort, { once: true })
        thread.postMessage(input)
      })
    },
    async stop() {
      await Promise.all([...all].map(thread => thread.terminate()))
    },
  }
}
