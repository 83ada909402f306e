import { DEFAULT_GROUP_LABELS } from '@strobe/profile'
import { defaultIngestLimits, type IngestLimits } from '../limits.ts'

export interface IngestSettings {
  limits: IngestLimits
  /** Labels that keep groups of series apart. */
  groupLabels: readonly string[]
  /** Profiles that make a group; a group is one insert. */
  groupProfiles: number
  /** Shortest time between two groups, unless one is full. Bounds the inserts per second, and delays the answer. */
  groupWaitMs: number
  /** Profiles and samples that may wait for the store before new ones are refused. */
  queueProfiles: number
  queueSamples: number
  /** Bytes of requests, as sent, that may be read and decoded at once; unpacked they are several times as large. */
  decodingBytes: number
  /** Heap of one thread that decodes. */
  decodeHeapBytes: number
  /** Longest a sender waits for its answer; the batch stays and its retry finds it. */
  answerTimeoutMs: number
  /** First pause before a batch that another server is storing is tried again; grows eightfold. */
  contestedWaitMs: number
  /** Accepted start times, before and after the time of receipt. */
  windowPastMs: number
  windowFutureMs: number
  /** Pause between two heartbeats, told to agents. */
  heartbeatIntervalMs: number
}

export function defaultIngestSettings(): IngestSettings {
  return {
    limits: defaultIngestLimits(),
    groupLabels: DEFAULT_GROUP_LABELS,
    groupProfiles: 4_000,
    groupWaitMs: 1_000,
    queueProfiles: 20_000,
    queueSamples: 5_000_000,
    decodingBytes: 64 * 2 ** 20,
    decodeHeapBytes: 512 * 2 ** 20,
    answerTimeoutMs: 30_000,
    contestedWaitMs: 250,
    windowPastMs: 14 * 86_400_000,
    windowFutureMs: 10 * 60_000,
    heartbeatIntervalMs: 15_000,
  }
}
