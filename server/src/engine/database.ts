import { createRequire } from 'node:module'
import { CodedError } from '../errors.ts'

interface ChdbResult {
  bytes(): Uint8Array
}

interface ChdbChunk {
  raw(): Uint8Array
}

interface ChdbStream extends AsyncIterable<ChdbChunk> {
  cancel(): void
}

interface ChdbSession {
  queryAsync(sql: string, options: { format: string }): Promise<ChdbResult>
  queryStream(sql: string, options: { format: string }): ChdbStream
  close(): void
}

interface Chdb {
  Session: new (path: string, options?: { connectionArgs: string[] }) => ChdbSession
}

/** One connection of the embedded engine. It runs one statement at a time: who holds it is alone with it. */
export class Connection {
  readonly #open: () => ChdbSession
  #session: ChdbSession

  constructor(open: () => ChdbSession) {
    this.#open = open
    this.#session = open()
  }

  async run(sql: string, format: string): Promise<Uint8Array> {
    try {
      return (await this.#session.queryAsync(sql, { format })).bytes()
    } catch (error) {
      // The rows that a failed statement had written come out before those of the next one
      // (chdb 3.4.0, libchdb 26.7.2.1): nothing runs on this session any more.
      this.replace()
      throw error
    }
  }

  /** Blocks as they come. Leaving the loop early cancels the statement. */
  async *stream(sql: string, format: string): AsyncGenerator<Uint8Array> {
    let isWhole = false
    try {
      for await (const chunk of this.#session.queryStream(sql, { format })) yield chunk.raw()
      isWhole = true
    } finally {
      if (!isWhole) this.replace()
    }
  }

  /** A new session: settings of the old one could not be taken back, or it failed. */
  replace(): void {
    this.#session.close()
    this.#session = this.#open()
  }

  close(): void {
    this.#session.close()
  }
}

/** Connections for one kind of work, handed out first come, first served. */
export class Lane {
  readonly #free: Connection[]
  readonly #all: Connection[]
  readonly #waiting: ((connection: Connection) => void)[] = []
  readonly #maxQueued: number

  constructor(connections: Connection[], maxQueued: number) {
    this.#all = connections
    this.#free = [...connections]
    this.#maxQueued = maxQueued
  }

  /**
   * Runs work alone on a connection; waits for one when all are busy.
   * Throws `Code: 202` (too many simultaneous queries) when the line is full.
   * isWanted is asked once more when the turn comes: null when nobody waits for the answer any more.
   */
  async use<T>(work: (connection: Connection) => Promise<T>, isWanted: () => boolean): Promise<T | null> {
    let connection = this.#free.pop()
    if (!connection) {
      if (this.#waiting.length >= this.#maxQueued) {
        throw new Error(
          `Code: 202. DB::Exception: Too many simultaneous queries: ${this.#waiting.length} wait already. (TOO_MANY_SIMULTANEOUS_QUERIES)`,
        )
      }
      connection = await new Promise<Connection>(resolve => this.#waiting.push(resolve))
    }
    try {
      return isWanted() ? await work(connection) : null
    } finally {
      const next = this.#waiting.shift()
      if (next) next(connection)
      else this.#free.push(connection)
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close()
  }
}

/**
 * Opens the engine on a folder. One folder per process, one process per folder.
 * Throws ENGINE_MISSING without the chdb package, ENGINE_FAILED when the folder does not open; the engine
 * writes the reason to stderr.
 */
export function openDatabase(path: string, configFile: string): () => Connection {
  let chdb: Chdb
  try {
    chdb = createRequire(import.meta.url)('chdb') as Chdb
  } catch (cause) {
    throw new CodedError(
      'ENGINE_MISSING',
      `the embedded engine (npm package chdb) does not load on ${process.platform}-${process.arch}: ` +
        `${(cause as Error).message.split('\n')[0]}; install it, or set STROBE_CLICKHOUSE_URL to a ClickHouse server`,
      {},
      { cause },
    )
  }
  // The first session of a process decides the configuration; later ones join it.
  const session = (first: boolean) =>
    first
      ? new chdb.Session(path, { connectionArgs: [`--config-file=${configFile}`] })
      : new chdb.Session(path)
  let keeper: ChdbSession
  try {
    keeper = session(true)
  } catch (cause) {
    throw new CodedError(
      'ENGINE_FAILED',
      `the engine could not open ${path}: ${(cause as Error).message}`,
      {},
      { cause },
    )
  }
  let isKeeperTaken = false
  return () =>
    new Connection(() => {
      if (isKeeperTaken) return session(false)
      isKeeperTaken = true
      return keeper
    })
}
