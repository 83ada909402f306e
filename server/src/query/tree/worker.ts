/**
 * The thread that turns sums by stack into trees, lists and tables: it holds the cache of stacks, so that
 * neither a tree of a million stacks nor its garbage stalls the server's event loop. It reads nothing by
 * itself: what its cache lacks it asks for, over the port.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { StrobeError } from '@strobe/profile'
import { toCodedError } from '../../errors.ts'
import { Pace } from './pace.ts'
import type { FromWorker, JobError, ToWorker, TreeAnswer, WorkerStats } from './protocol.ts'
import { StackCache } from './stack-cache.ts'
import { runTreeJob } from './tree-job.ts'

interface Job {
  pace: Pace
  /** Loads that wait for their answer, first asked first answered. */
  waiting: { resolve(bytes: Uint8Array): void; reject(error: Error): void }[]
}

export interface WorkerSettings {
  cacheBytes: number
}

const port = parentPort!
const cache = new StackCache((workerData as WorkerSettings).cacheBytes)
const jobs = new Map<number, Job>()
let turn: Promise<unknown> = Promise.resolve()
let largeTurn: Promise<void> = Promise.resolve()

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

async function run({ job: id, request, sums }: ToWorker & { type: 'start' }): Promise<void> {
  const pace = new Pace(request.limits.timeoutMs)
  const job: Job = { pace, waiting: [] }
  let endLarge = () => {}
  jobs.set(id, job)
  try {
    const answer = await runTreeJob(request, sums, {
      cache,
      pace,
      load: (kind, ids) =>
        new Promise((resolve, reject) => {
          job.waiting.push({ resolve, reject })
          send({ type: 'load', job: id, kind, ids }, [ids.buffer as ArrayBuffer])
        }),
      exclusive(work) {
        const mine = turn.then(async () => {
          pace.resume()
          try {
            return await work()
          } finally {
            pace.pause()
          }
        })
        turn = mine.catch(() => {})
        return pace.waitFor(mine)
      },
      async becomeLarge() {
        const before = largeTurn
        const { promise, resolve } = Promise.withResolvers<void>()
        largeTurn = before.then(() => promise)
        endLarge = resolve
        await pace.waitFor(before)
      },
    })
    pace.pause()
    send({ type: 'done', job: id, answer, busyMs: pace.busyMs, stats: stats() }, buffersOf(answer))
  } catch (error) {
    pace.pause()
    send({ type: 'failed', job: id, error: describe(error), busyMs: pace.busyMs, stats: stats() })
  } finally {
    endLarge()
    jobs.delete(id)
  }
}

function stats(): WorkerStats {
  return {
    cacheBytes: cache.byteLength,
    cacheStacks: cache.stacks,
    hits: cache.hits,
    misses: cache.misses,
  }
}

function describe(error: unknown): JobError {
  if (error instanceof StrobeError)
    return { code: error.code, message: error.message, details: error.details }
  const { code, message, details } = toCodedError(error)
  return {
    code,
    message: code === 'INTERNAL' && error instanceof Error ? `${error.stack}` : message,
    details,
  }
}

function buffersOf(answer: TreeAnswer): ArrayBuffer[] {
  switch (answer.kind) {
    case 'flamegraph': {
      const { frame, parent, self, total } = answer.tree
      return [frame, parent, self, total].map(column => column.buffer as ArrayBuffer)
    }
    case 'functions':
      return []
    case 'stacks':
      return [answer.stackOffset, answer.stackFrame, answer.values, answer.ids].map(
        column => column.buffer as ArrayBuffer,
      )
    case 'file':
      return [answer.bytes.buffer as ArrayBuffer]
  }
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'start') {
    void run(message)
    return
  }
  const job = jobs.get(message.job)
  if (!job) return
  switch (message.type) {
    case 'loaded':
      job.waiting.shift()?.resolve(message.bytes)
      break
    case 'load_failed':
      job.waiting
        .shift()
        ?.reject(new StrobeError(message.error.code, message.error.message, message.error.details))
      break
    case 'cancel':
      job.pace.isCancelled = true
      for (const { reject } of job.waiting.splice(0)) reject(new Error('cancelled'))
  }
})
