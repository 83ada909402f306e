import { CodedError, toCodedError } from '../errors.ts'
import type { ServerMetrics } from '../metrics.ts'
import type { EncodedBatch } from '../storage/batch-encoder.ts'
import { batchKey } from '../storage/ledger.ts'
import { type Store, tornError, type WriteOutcome } from '../storage/store.ts'
import type { AgentRow } from '../storage/write-agents.ts'
import { type TenantValues, tenantSetting } from '../tenant-settings.ts'
import { Admission } from './admission.ts'
import type { DecodedRequest, DecodeJob, IngestAnswer, UploadJob, WriteJob } from './batch.ts'
import type { IngestSettings } from './settings.ts'
import { tenantIngestSettings } from './tenant-ingest.ts'

export type IngestProtocol = 'strobe' | 'upload'

export interface Ingest {
  settings: IngestSettings
  /** The same with what the tenant has of its own. */
  settingsOf(tenant: string): IngestSettings
  /**
   * Before a request of so many bytes, as sent, is worked on; the answer is called when that is done.
   * Throws RATE_LIMITED or REQUESTS_TOO_MANY with retryAfterMs.
   */
  enter(tenant: string, bytes: number): () => void
  /**
   * Resolves when the batch's rows are durable, or were before. Throws what the batch has wrong, QUEUE_FULL
   * with retryAfterMs, STORE_NOT_READY when the store takes longer than answerTimeoutMs: then the batch is
   * still on its way, and its retry waits for the same rows.
   */
  submit(batch: EncodedBatch, protocol: IngestProtocol): Promise<IngestAnswer>
  /** Throws what the request has wrong. */
  decode(request: SentRequest): Promise<DecodedRequest>
  /** The answer for a batch that was stored lately or is on its way, without decoding it again; else null. */
  findKnown(tenant: string, batchId: Uint8Array): Promise<IngestAnswer | null>
  /**
   * Before a request of so many bytes is read and decoded; the answer gives the room back.
   * Throws QUEUE_FULL with retryAfterMs, SERVER_STOPPING.
   */
  reserve(bytes: number): () => void
  heartbeat(tenant: string, agent: AgentRow): Promise<void>
  /** tenant: '' when the key did not tell one. */
  countRefusal(protocol: IngestProtocol, tenant: string, error: unknown): void
  /** '' while profiles can be taken. */
  notReadyReason(): string
  /** Stores what waits, at most graceMs, and takes nothing more. */
  stop(graceMs: number): Promise<void>
}

/** A job without what the server knows of its tenant. */
export type SentRequest = Omit<WriteJob, 'retention' | 'settings'> | Omit<UploadJob, 'retention' | 'settings'>

export interface IngestOptions {
  decode: (job: DecodeJob) => Promise<DecodedRequest>
  store: Pick<Store, 'write' | 'selectStored' | 'ledger' | 'failure' | 'stop'>
  writeAgents: (tenant: string, agents: AgentRow[]) => Promise<void>
  settings: IngestSettings
  /** Settings that tenants have of their own. */
  valuesOf?: (tenant: string) => TenantValues
  /** Throws STORE_FULL while the disk takes nothing. */
  checkDisk?: () => void
  metrics: ServerMetrics
}

interface Waiting {
  key: string
  batch: EncodedBatch
  /** How often another server was found to be storing it. */
  contests: number
  promise: Promise<IngestAnswer>
  resolve(answer: IngestAnswer): void
  reject(error: unknown): void
}

function stoppingError(): CodedError {
  return new CodedError('SERVER_STOPPING', 'the server is stopping', { retryAfterMs: 2_000 })
}

const noValues: TenantValues = new Map()
/** Tenants that metrics tell apart; what comes later counts as `other`. */
const maxNamedTenants = 100

/** Labels, identities, groups, and one group at a time into the store. */
export function createIngest(options: IngestOptions): Ingest {
  const { store, settings, metrics } = options
  const valuesOf = options.valuesOf ?? (() => noValues)
  const admission = new Admission({
    valuesOf,
    maxBodyBytes: settings.limits.maxBodyBytes,
    now: () => performance.now(),
  })
  const settingsByValues = new WeakMap<TenantValues, IngestSettings>()
  const namedTenants = new Set<string>()
  const queue: Waiting[] = []
  const onTheirWay = new Map<string, Waiting>()
  /** On their way, but not in the queue. */
  const deferred = new Map<Waiting, NodeJS.Timeout>()
  let queuedProfiles = 0
  let queuedSamples = 0
  let decodingBytes = 0
  let isStopping = false
  let committing: Promise<void> | null = null
  let timer: NodeJS.Timeout | null = null
  let lastGroupAtMs = Number.NEGATIVE_INFINITY

  function settingsOf(tenant: string): IngestSettings {
    const values = valuesOf(tenant)
    let own = settingsByValues.get(values)
    if (!own) {
      own = tenantIngestSettings(settings, values)
      settingsByValues.set(values, own)
    }
    return own
  }

  function nameInMetrics(tenant: string): string {
    if (namedTenants.size < maxNamedTenants) namedTenants.add(tenant)
    return namedTenants.has(tenant) ? tenant : 'other'
  }

  /** [what, how much of it waits, how much more would, how much may] */
  function checkRoom(...limits: [what: string, waiting: number, more: number, limit: number][]): void {
    for (const [what, waiting, more, limit] of limits) {
      // A batch larger than the whole queue may come when nothing waits; its own limits bound it.
      if (waiting === 0 || waiting + more <= limit) continue
      const retryAfterMs = Math.max(settings.groupWaitMs, 1_000) * 2
      throw new CodedError(
        'QUEUE_FULL',
        `${waiting} ${what} wait, ${more} more would pass the limit of ${limit}` +
          `${store.failure && ` (the store: ${store.failure})`}; come again in ${retryAfterMs} ms`,
        { limit, observed: waiting + more, what, retryAfterMs },
      )
    }
  }

  function schedule(): void {
    if (committing || queue.length === 0) return
    if (timer) clearTimeout(timer)
    const isFull = queuedProfiles >= settings.groupProfiles || isStopping
    const dueInMs = isFull ? 0 : Math.max(0, lastGroupAtMs + settings.groupWaitMs - performance.now())
    timer = setTimeout(() => {
      timer = null
      committing = commit().finally(() => {
        committing = null
        schedule()
      })
    }, dueInMs)
  }

  async function commit(): Promise<void> {
    const group: Waiting[] = []
    let profiles = 0
    while (
      queue.length > 0 &&
      (group.length === 0 || profiles + queue[0]!.batch.profiles <= settings.groupProfiles)
    ) {
      const next = queue.shift()!
      profiles += next.batch.profiles
      group.push(next)
    }
    lastGroupAtMs = performance.now()
    try {
      const stored = await store.selectStored(group.map(waiting => waiting.key))
      const fresh = group.filter(waiting => !stored.has(waiting.key))
      store.ledger.remember(stored)
      settle(
        group.filter(waiting => stored.has(waiting.key)),
        () => null,
      )
      if (fresh.length === 0) return
      const outcome = await store.write(fresh.map(waiting => waiting.batch))
      settle(fresh, ({ key }) => (outcome.known.has(key) ? null : outcome))
    } catch (error) {
      for (const waiting of group) finish(waiting, () => waiting.reject(error))
    }
  }

  /** outcomeOf: null for what was stored before. */
  function settle(group: readonly Waiting[], outcomeOf: (waiting: Waiting) => WriteOutcome | null): void {
    for (const waiting of group) {
      const outcome = outcomeOf(waiting)
      const count = waiting.batch.profiles
      if (outcome?.contested.has(waiting.key)) comeAgain(waiting)
      else if (outcome?.torn.has(waiting.key)) finish(waiting, () => waiting.reject(tornError([waiting.key])))
      else if (outcome === null)
        finish(waiting, () => waiting.resolve({ profiles: count, isDuplicate: true }))
      else {
        metrics.profiles.inc(count)
        metrics.samples.inc(waiting.batch.samples)
        finish(waiting, () => waiting.resolve({ profiles: count, isDuplicate: false }))
      }
    }
  }

  /** Another server is storing the same batch: soon its rows or its withdrawal will be there to be read. */
  function comeAgain(waiting: Waiting): void {
    if (isStopping) {
      finish(waiting, () => waiting.reject(stoppingError()))
      return
    }
    // At different times on the two servers, or each would find the other's claim for ever.
    const pauseMs = settings.contestedWaitMs * (0.25 + Math.random()) * Math.min(8, 2 ** waiting.contests++)
    const again = setTimeout(() => {
      deferred.delete(waiting)
      queue.push(waiting)
      schedule()
    }, pauseMs)
    deferred.set(waiting, again)
  }

  function finish(waiting: Waiting, answer: () => void): void {
    // An error may come after a part of the group was answered.
    if (onTheirWay.get(waiting.key) !== waiting || deferred.has(waiting)) return
    onTheirWay.delete(waiting.key)
    queuedProfiles -= waiting.batch.profiles
    queuedSamples -= waiting.batch.samples
    metrics.queuedProfiles.set(queuedProfiles)
    answer()
  }

  async function answerOf(waiting: Waiting): Promise<IngestAnswer> {
    let timeout: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timeout = setTimeout(() => {
        reject(
          new CodedError(
            'STORE_NOT_READY',
            `the store did not take the profiles within ${settings.answerTimeoutMs} ms` +
              `${store.failure && ` (${store.failure})`}; they are kept, and a retry of the same batch waits for them`,
            { retryAfterMs: 5_000 },
          ),
        )
      }, settings.answerTimeoutMs)
    })
    try {
      return await Promise.race([waiting.promise, late])
    } finally {
      clearTimeout(timeout)
    }
  }

  function enqueue(key: string, batch: EncodedBatch): Waiting {
    const { promise, resolve, reject } = Promise.withResolvers<IngestAnswer>()
    // Nobody may be waiting any more when it fails.
    promise.catch(() => {})
    const waiting: Waiting = { key, batch, contests: 0, promise, resolve, reject }
    onTheirWay.set(key, waiting)
    queue.push(waiting)
    queuedProfiles += batch.profiles
    queuedSamples += batch.samples
    metrics.queuedProfiles.set(queuedProfiles)
    schedule()
    return waiting
  }

  async function findKnown(tenant: string, batchId: Uint8Array): Promise<IngestAnswer | null> {
    const key = batchKey(tenant, batchId)
    if (store.ledger.isRecent(key)) return { profiles: 0, isDuplicate: true }
    const same = onTheirWay.get(key)
    return same ? { ...(await answerOf(same)), isDuplicate: true } : null
  }

  return {
    settings,
    settingsOf,
    enter: (tenant, bytes) => admission.enter(tenant, bytes),
    findKnown,
    async submit(batch, protocol) {
      if (isStopping)
        throw new CodedError('SERVER_STOPPING', 'the server is stopping', { retryAfterMs: 2_000 })
      const known = await findKnown(batch.tenant, batch.batchId)
      if (known) {
        metrics.batches.inc({ protocol, outcome: 'duplicate' })
        return { ...known, profiles: batch.profiles }
      }
      options.checkDisk?.()
      checkRoom(
        ['profiles', queuedProfiles, batch.profiles, settings.queueProfiles],
        ['samples', queuedSamples, batch.samples, settings.queueSamples],
      )
      const key = batchKey(batch.tenant, batch.batchId)
      // Another try of the batch may have come while this one looked.
      let waiting = onTheirWay.get(key)
      const isFirst = waiting === undefined
      if (!waiting) {
        admission.addSeries(batch.tenant, batch.seriesIds)
        waiting = enqueue(key, batch)
      }
      const answer = await answerOf(waiting)
      const isDuplicate = answer.isDuplicate || !isFirst
      metrics.batches.inc({ protocol, outcome: isDuplicate ? 'duplicate' : 'stored' })
      return { ...answer, isDuplicate }
    },
    async decode(request) {
      const { limits, groupLabels, windowPastMs, windowFutureMs } = settingsOf(request.tenant)
      const decoded = await options.decode({
        ...request,
        retention: tenantSetting(valuesOf(request.tenant), 'retention_class'),
        settings: { limits, groupLabels, windowPastMs, windowFutureMs },
      })
      for (const what of ['dropped', 'retimed'] as const)
        for (const [reason, count] of Object.entries(decoded.counts[what]))
          if (count > 0) metrics[what].inc({ reason }, count)
      return decoded
    },
    reserve(bytes) {
      if (isStopping) throw stoppingError()
      options.checkDisk?.()
      checkRoom(
        ['bytes to decode', decodingBytes, bytes, settings.decodingBytes],
        ['profiles', queuedProfiles, 1, settings.queueProfiles],
        ['samples', queuedSamples, 1, settings.queueSamples],
      )
      decodingBytes += bytes
      let isHeld = true
      return () => {
        if (isHeld) decodingBytes -= bytes
        isHeld = false
      }
    },
    async heartbeat(tenant, agent) {
      try {
        await options.writeAgents(tenant, [agent])
        metrics.heartbeats.inc({ outcome: 'stored' })
      } catch (cause) {
        metrics.heartbeats.inc({ outcome: 'failed' })
        throw new CodedError(
          'STORE_NOT_READY',
          `the heartbeat could not be stored: ${(cause as Error).message}`,
          { retryAfterMs: 5_000 },
          { cause },
        )
      }
    },
    countRefusal(protocol, tenant, error) {
      const { code } = toCodedError(error)
      metrics.batches.inc({ protocol, outcome: 'refused' })
      metrics.refused.inc({ protocol, code, tenant: nameInMetrics(tenant) })
    },
    notReadyReason() {
      if (isStopping) return 'the server is stopping'
      return store.failure
    },
    async stop(graceMs) {
      isStopping = true
      for (const [waiting, timer] of deferred) {
        clearTimeout(timer)
        deferred.delete(waiting)
        finish(waiting, () => waiting.reject(stoppingError()))
      }
      const giveUp = setTimeout(() => store.stop(), graceMs)
      while (queue.length > 0 || committing) {
        schedule()
        await (committing ?? new Promise(resolve => setTimeout(resolve, 5)))
      }
      clearTimeout(giveUp)
      store.stop()
    },
  }
}
