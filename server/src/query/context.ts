import type { Reader } from '../storage/select/reader.ts'
import type { StackStore } from './stack-store.ts'

/** What queries are made with. */
export interface QueryContext {
  reader: Reader
  stacks: StackStore
  /** Unix ms. */
  now(): number
  /** An agent without a heartbeat for this long is silent. */
  agentSilentMs: number
  isDemo: boolean
}
