import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoreClient } from './client.ts'
import { formatSeconds } from './format-seconds.ts'

export interface ServerFacts {
  serverId: string
  host: string
  /** Of the HTTP API. */
  address: string
  version: string
  startedAtMs: number
}

/** Signs of life of this server, for the others that write to the same store. */
export class ServerRegistry {
  readonly #client: StoreClient
  readonly #facts: ServerFacts
  #timer: NodeJS.Timeout | null = null

  constructor(client: StoreClient, facts: ServerFacts) {
    this.#client = client
    this.#facts = facts
  }

  /** Returns the last sign of an earlier life, as the store writes a time; '' when there was none. */
  async start(intervalMs: number, onFailure: (error: unknown) => void): Promise<string> {
    const result = await this.#client.query({
      query:
        'SELECT toString(max(at)) AS last, toUInt32(count()) AS signs FROM servers WHERE server_id = {id:String}',
      query_params: { id: this.#facts.serverId },
      format: 'JSONEachRow',
    })
    const [row] = await result.json<{ last: string; signs: number }>()
    await this.#sign()
    this.#timer = setInterval(() => {
      this.#sign().catch(onFailure)
    }, intervalMs)
    this.#timer.unref()
    return row && row.signs > 0 ? row.last : ''
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
  }

  async #sign(): Promise<void> {
    const { serverId, host, address, version, startedAtMs } = this.#facts
    await this.#client.insert({
      table: 'servers',
      values: [{ server_id: serverId, host, address, version, started_at: formatSeconds(startedAtMs) }],
      format: 'JSONEachRow',
    })
  }
}

/** The name of the server that owns a data folder, made when it is new. */
export async function readServerId(dataDir: string): Promise<string> {
  const file = join(dataDir, 'server-id')
  try {
    const text = (await readFile(file, 'utf8')).trim()
    if (/^[0-9a-f]{16}$/.test(text)) return text
  } catch {
    // A new folder.
  }
  const id = randomBytes(8).toString('hex')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  await writeFile(file, `${id}\n`, { mode: 0o600 })
  return id
}
