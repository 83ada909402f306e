import { Worker } from 'node:worker_threads'
import { StrobeError } from '@strobe/profile'
import { CodedError, type ErrorCode, serverErrors } from '../../errors.ts'
import type { FromWorker, JobError, ToWorker, TreeAnswer, TreeRequest, WorkerStats } from './protocol.ts'
import type { Load } from './stack-loader.ts'
import type { WorkerSettings } from './worker.ts'

export interface TreeWorker {
  /**
   * Puts sums by stack together. sums: RowBinary as storage/select answers, handed over: not to be used afterwards.
   * load: reads what the cache lacks.
   * Throws what runTreeJob and load throw, and QUERY_CANCELLED when the signal fires.
   */
  run<Kind extends TreeRequest['work']['kind']>(
    request: TreeRequest & { work: { kind: Kind } },
    sums: Uint8Array,
    load: Load,
    signal: AbortSignal | undefined,
  ): Promise<TreeAnswer & { kind: Kind }>
  stop(): Promise<void>
}

export interface TreeWorkerHooks {
  /** After each job. */
  onJob?(job: JobCost, stats: WorkerStats): void
  /** How many the thread has now. */
  onJobs?(jobs: number): void
  onRestart?(error: Error): void
}

/** One job, once it is over, also after whoever asked had gone. */
export interface JobCost {
  kind: string
  tenant: string
  /** CPU time of the thread. */
  busyMs: number
  elapsedMs: number
  /** Error code, '' when it went well. */
  failure: string
}

interface Job {
  kind: string
  tenant: string
  startedAt: number
  load: Load
  resolve(answer: TreeAnswer): void
  reject(error: Error): void
}

/** The thread is started by the first query, and again after it ended by a fault. */
export function createTreeWorker(settings: WorkerSettings, hooks: TreeWorkerHooks = {}): TreeWorker {
  /** Until the thread is done with them, which comes later than the answer when one is cancelled. */
  const running = new Map<number, Job>()
  let worker: Worker | null = null
  let lastJob = 0
  let isStopped = false

  function start(): Worker {
    const started = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings })
    started.on('message', (message: FromWorker) => receive(started, message))
    started.on('error', error => end(started, error))
    started.on('exit', () => end(started, new Error('the query thread ended')))
    // A server that ends does not wait for it.
    started.unref()
    return started
  }

  function end(of: Worker, error: Error): void {
    if (worker !== of) return
    worker = null
    if (!isStopped) hooks.onRestart?.(error)
    const failure = new CodedError(
      isStopped ? 'SERVER_STOPPING' : 'INTERNAL',
      isStopped ? 'the server is stopping' : `the query thread ended: ${error.message}`,
      {},
      { cause: error },
    )
    for (const job of running.values()) job.reject(failure)
    running.clear()
    hooks.onJobs?.(0)
  }

  function receive(from: Worker, message: FromWorker): void {
    const job = running.get(message.job)
    if (message.type !== 'load') {
      running.delete(message.job)
      hooks.onJobs?.(running.size)
      if (job)
        hooks.onJob?.(
          {
            kind: job.kind,
            tenant: job.tenant,
            busyMs: message.busyMs,
            elapsedMs: performance.now() - job.startedAt,
            failure: message.type === 'failed' ? message.error.code : '',
          },
          message.stats,
        )
    }
    if (!job) return
    switch (message.type) {
      case 'load':
        job.load(message.kind, message.ids).then(
          bytes => {
            const own = ownBuffer(bytes)
            send(from, { type: 'loaded', job: message.job, bytes: own }, [own.buffer as ArrayBuffer])
          },
          (error: unknown) => send(from, { type: 'load_failed', job: message.job, error: describe(error) }),
        )
        break
      case 'done':
        job.resolve(message.answer)
        break
      case 'failed':
        job.reject(revive(message.error))
    }
  }

  function send(to: Worker, message: ToWorker, transfer: ArrayBuffer[] = []): void {
    if (to === worker) to.postMessage(message, transfer)
  }

  return {
    async run(request, sums, load, signal) {
      if (signal?.aborted) throw cancelled()
      if (isStopped) throw new CodedError('SERVER_STOPPING', 'the server is stopping')
      worker ??= start()
      const used = worker
      const id = ++lastJob
      const onAbort = () => {
        send(used, { type: 'cancel', job: id })
        running.get(id)?.reject(cancelled())
      }
      try {
        const answer = await new Promise<TreeAnswer>((resolve, reject) => {
          const { tenant, work } = request
          running.set(id, { kind: work.kind, tenant, startedAt: performance.now(), load, resolve, reject })
          hooks.onJobs?.(running.size)
          signal?.addEventListener('abort', onAbort, { once: true })
          const own = ownBuffer(sums)
          send(used, { type: 'start', job: id, request, sums: own }, [own.buffer as ArrayBuffer])
        })
        return answer as never
      } finally {
        signal?.removeEventListener('abort', onAbort)
      }
    },
    async stop() {
      isStopped = true
      await worker?.terminate()
    },
  }
}

function cancelled(): CodedError {
  return new CodedError('QUERY_CANCELLED', 'the query was cancelled because the client went away')
}

/** Bytes that may be handed over: small Buffers share one pool. */
function ownBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes)
}

function describe(error: unknown): JobError {
  if (error instanceof CodedError || error instanceof StrobeError)
    return { code: error.code, message: error.message, details: error.details }
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), details: {} }
}

function revive({ code, message, details }: JobError): Error {
  return code in serverErrors
    ? new CodedError(code as ErrorCode, message, details)
    : new StrobeError(code, message, details)
}
