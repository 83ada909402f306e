import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { CodedError } from '../errors.ts'
import type { DecodedRequest, DecodeJob } from './batch.ts'
import type { DecodeReply, DecodeWorkerData } from './decode-worker.ts'

export interface DecodePool {
  /**
   * Decodes in a thread; the bytes of the job are handed over, and not to be used afterwards. Throws what the request has wrong, and DECODER_DIED when its thread ran out of
   * memory or crashed over it; SERVER_STOPPING.
   */
  decode(job: DecodeJob): Promise<DecodedRequest>
  /** Threads, and requests that wait for one. */
  state(): { workers: number; waiting: number }
  /** Ends the threads; what they hold is refused. */
  close(): Promise<void>
}

export interface DecodePoolOptions {
  /** Threads at most; each starts when there is work for it. */
  workers: number
  /** Heap of one thread; columns of numbers, which limits on bodies bound, are not in it. */
  heapBytes: number
  /** Store.seenIdsBuffer. */
  seenIds: SharedArrayBuffer
  onDeath(reason: string): void
}

interface Task {
  job: DecodeJob
  resolve(decoded: DecodedRequest): void
  reject(error: CodedError): void
}

interface Thread {
  worker: Worker
  /** One at a time: whoever dies is known to have died of this. */
  task: Task | null
  failure: Error | null
}

/** How long the line may be is up to the caller: every task holds the bytes of its request. */
export function createDecodePool(options: DecodePoolOptions): DecodePool {
  const threads = new Set<Thread>()
  const idle: Thread[] = []
  const line: Task[] = []
  const secret = randomBytes(32)
  let isClosed = false

  function start(): Thread {
    const data: DecodeWorkerData = { seenIds: options.seenIds, secret }
    const worker = new Worker(fileURLToPath(new URL('./decode-worker.ts', import.meta.url)), {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(options.heapBytes / 2 ** 20) },
      name: 'decode',
    })
    const thread: Thread = { worker, task: null, failure: null }
    threads.add(thread)
    worker.on('message', (reply: DecodeReply) => {
      const task = thread.task!
      thread.task = null
      if ('decoded' in reply) task.resolve(reply.decoded)
      else task.reject(new CodedError(reply.code, reply.message, reply.details))
      next(thread)
    })
    worker.on('error', error => {
      thread.failure = error
    })
    worker.on('exit', code => {
      threads.delete(thread)
      const at = idle.indexOf(thread)
      if (at >= 0) idle.splice(at, 1)
      if (isClosed) return
      const reason = (thread.failure as NodeJS.ErrnoException | null)?.code ?? `exit code ${code}`
      options.onDeath(reason)
      thread.task?.reject(diedError(reason, thread.failure))
      thread.task = null
      dispatch()
    })
    return thread
  }

  function next(thread: Thread): void {
    const task = line.shift()
    if (task) run(thread, task)
    else idle.push(thread)
  }

  function run(thread: Thread, task: Task): void {
    thread.task = task
    const bytes = task.job.protocol === 'strobe' ? task.job.request : task.job.body
    // A large message lies in a buffer of its own, which goes over as it is; parts of others are copied.
    const isAlone = bytes.byteLength > Buffer.poolSize && bytes.buffer.byteLength - bytes.byteLength < 64
    thread.worker.postMessage(task.job, isAlone ? [bytes.buffer as ArrayBuffer] : [])
  }

  function dispatch(): void {
    while (line.length > 0) {
      const thread = idle.pop() ?? (threads.size < options.workers ? start() : null)
      if (thread === null) return
      run(thread, line.shift()!)
    }
  }

  return {
    decode(job) {
      if (isClosed) return Promise.reject(stoppingError())
      const { promise, resolve, reject } = Promise.withResolvers<DecodedRequest>()
      line.push({ job, resolve, reject })
      dispatch()
      return promise
    },
    state: () => ({ workers: threads.size, waiting: line.length }),
    async close() {
      isClosed = true
      const ending = [...threads]
      for (const task of [...line.splice(0), ...ending.flatMap(({ task }) => task ?? [])])
        task.reject(stoppingError())
      await Promise.all(ending.map(({ worker }) => worker.terminate()))
    },
  }
}

function diedError(reason: string, cause: Error | null): CodedError {
  return new CodedError(
    'DECODER_DIED',
    reason === 'ERR_WORKER_OUT_OF_MEMORY'
      ? 'decoding the request took more memory than a decoder has; send shorter profiles or fewer in a batch'
      : `the thread that decoded the request ended over it (${reason})`,
    { cause: reason },
    { cause },
  )
}

function stoppingError(): CodedError {
  return new CodedError('SERVER_STOPPING', 'the server is stopping', { retryAfterMs: 2_000 })
}
