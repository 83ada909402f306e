import { availableParallelism, totalmem } from 'node:os'

export interface EngineSettings {
  /** Where other servers reach the engine too, `host:port`, port 0 for a free one; '' for nowhere. */
  listen: string
  /** Of the user `strobe` there. */
  password: string
  /** Folder of this engine alone; made when missing. */
  dataDir: string
  /** Ceiling of everything the engine allocates. */
  memoryBytes: number
  /** Statements that may run at once, besides inserts. */
  queryConnections: number
  insertConnections: number
  /** Statements that may wait for a connection before the engine refuses. */
  maxQueued: number
  /** How long a start waits for a folder that another engine still holds: one whose server was killed is just ending. */
  lockWaitMs: number
}

const mebibyte = 2 ** 20

/** What the machine, or the container around us, may use. */
function availableBytes(): number {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem()
}

export function defaultEngineSettings(dataDir: string): EngineSettings {
  return {
    listen: '',
    password: '',
    dataDir,
    // Below 768 MiB merges and inserts of a busy hour do not fit.
    memoryBytes: Math.max(768 * mebibyte, Math.min(4096 * mebibyte, Math.floor(availableBytes() / 4))),
    queryConnections: Math.max(4, Math.min(16, availableParallelism() * 2)),
    insertConnections: 2,
    maxQueued: 256,
    lockWaitMs: 5_000,
  }
}

/** Where a client reaches ClickHouse. */
export interface EngineAddress {
  kind: 'socket'
  socketPath: string
}
