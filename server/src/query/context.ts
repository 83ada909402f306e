import type { LevelSettings } from '../storage/levels/settings.ts'
import type { WindowTable } from '../storage/life/windows.ts'
import type { Reader } from '../storage/select/reader.ts'
import type { Comparer } from './diff/comparer.ts'
import type { TreeLimits } from './tree/protocol.ts'
import type { TreeWorker } from './tree/workers.ts'

/** What queries are made with. */
export interface QueryContext {
  reader: Reader
  trees: TreeWorker
  /** A thread of its own for files: writing one cannot be paused. */
  exports: TreeWorker
  treeLimits: TreeLimits
  comparer: Comparer
  /** Unix ms. */
  now(): number
  /** An agent without a heartbeat for this long is silent. */
  agentSilentMs: number
  isDemo: boolean
  /** Unix s: what a tenant has in a table before it is not shown, whether or not it was removed already. */
  keptFrom(tenant: string, table: WindowTable): number
  /** Labels that kept groups of series apart in all lists that a tenant had for profiles which start then (unix s) or later. */
  groupLabels(tenant: string, from: number): readonly string[]
  /** Without them everything is read from samples. */
  levels?: Pick<LevelSettings, 'shortKeepMs'>
}
