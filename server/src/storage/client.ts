import { Agent, type AgentOptions } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { Readable } from 'node:stream'
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import type { StoreAddress } from './store-address.ts'

export type StoreClient = ClickHouseClient

export interface StoreClientOptions {
  requestTimeoutMs: number
  maxConnections?: number
}

/**
 * The one way to reach the store, embedded or remote.
 *
 * Settings belong into the SQL: a setting in the request costs the embedded engine two more statements.
 */
export function createStoreClient(address: StoreAddress, options: StoreClientOptions): StoreClient {
  const common = {
    request_timeout: options.requestTimeoutMs,
    max_open_connections: options.maxConnections ?? 16,
    // Errors come to the caller; the client would print them once more.
    log: { level: ClickHouseLogLevel.OFF },
    application: 'strobe',
  }
  if (address.kind === 'url') {
    const { origin, prefix, database, user, password, ca, cert, key } = address
    const agentOptions = { keepAlive: true, maxSockets: common.max_open_connections }
    return createClient({
      ...common,
      url: origin,
      ...(prefix === '' ? {} : { pathname: prefix }),
      database,
      username: user,
      password,
      http_agent: origin.startsWith('https:')
        ? new TlsAgent({ ...agentOptions, ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) })
        : new Agent(agentOptions),
    })
  }
  // Agent hands its options to net.connect, where socketPath counts; the types list only HTTP's.
  const agent = new Agent({
    socketPath: address.socketPath,
    keepAlive: true,
    maxSockets: common.max_open_connections,
  } as AgentOptions)
  return createClient({ ...common, url: 'http://localhost', http_agent: agent })
}

/** Inserts RowBinary bytes. settings: text of a SETTINGS clause, '' for none. */
export async function insertBinary(
  client: StoreClient,
  table: string,
  columns: readonly string[],
  bytes: Uint8Array,
  settings: string,
): Promise<void> {
  const { stream } = await client.exec({
    query: `INSERT INTO ${table} (${columns.join(', ')}) ${settings && `SETTINGS ${settings} `}FORMAT RowBinary`,
    values: Readable.from([bytes], { objectMode: false }),
  })
  for await (const _ of stream);
}
