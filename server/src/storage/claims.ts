import { insertBinary, type StoreClient } from './client.ts'
import { buildFence, type FenceState, readFence } from './fence.ts'
import { keysByTenant, type Ledger } from './ledger.ts'
import { parsePlaces } from './places.ts'
import { RowWriter } from './row-writer.ts'

/** A batch that a group means to store. */
export interface ClaimedBatch {
  /** `tenant/hex id`. */
  key: string
  tenant: string
  batchId: Uint8Array
  /** places.ts */
  places: string
}

/** From the ledger's key. */
export function claimedBatch(key: string, places: string): ClaimedBatch {
  const at = key.lastIndexOf('/')
  return { key, tenant: key.slice(0, at), batchId: Buffer.from(key.slice(at + 1), 'hex'), places }
}

export interface ClaimOutcome {
  /** Nobody else may store these: the group stores them now. */
  own: Set<string>
  /** Stand in the ledger. */
  stored: Set<string>
  /** Another group has them, too. Come again in a moment. */
  contested: Set<string>
  /** Half of each stands in the store and nobody can complete it. */
  torn: Set<string>
}

export interface ClaimsOptions {
  client: StoreClient
  ledger: Ledger
  /** Of this server, the same after a restart. */
  serverId: string
  /** The last sign of life before this process, as the store writes a time; '' when there was none. */
  earlierLife: string
  /** A server that gave no sign of life for so long, by the store's clock, loses what it has claimed. */
  leaseMs: number
  /** Tries until the store answers. */
  retry: <T>(work: () => Promise<T>) => Promise<T>
  log: { warn(facts: object, message: string): void; error(facts: object, message: string): void }
  onFence: (state: FenceState) => void
}

interface OtherClaim {
  group: string
  server: string
}

/**
 * Which of several servers stores a batch: docs/decisions/0007-several-servers.md.
 *
 * A group writes its claims, then reads those of others. Whoever reads no other may store the batch: one that
 * claims later reads this claim. Whoever reads another withdraws and comes again; two that read each
 * other both do, and come again at different times.
 */
export class Claims {
  readonly #options: ClaimsOptions
  /** When a group was first in the way, by this process's clock. */
  readonly #since = new Map<string, number>()
  /** Of this process, under way. */
  readonly #active = new Set<string>()

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  async claim(group: string, batches: readonly ClaimedBatch[]): Promise<ClaimOutcome> {
    const { ledger, retry } = this.#options
    this.#active.add(group)
    await retry(() => this.#write(group, batches, 0))
    const others = await retry(() =>
      this.#selectOthers(
        group,
        batches.map(batch => batch.key),
      ),
    )
    const outcome: ClaimOutcome = { own: new Set(), stored: new Set(), contested: new Set(), torn: new Set() }
    if (others.size > 0) outcome.stored = await retry(() => ledger.select([...others.keys()]))
    const lost: ClaimedBatch[] = []
    for (const batch of batches) {
      const claims = others.get(batch.key)
      if (claims === undefined) outcome.own.add(batch.key)
      else {
        lost.push(batch)
        if (!outcome.stored.has(batch.key)) outcome.contested.add(batch.key)
      }
    }
    if (lost.length === 0) return outcome
    await retry(() => this.#write(group, lost, 1))
    const torn = await this.#settle([...outcome.contested].flatMap(key => others.get(key) ?? []))
    for (const key of outcome.contested) {
      if (!others.get(key)?.some(claim => torn.has(claim.group))) continue
      outcome.contested.delete(key)
      outcome.torn.add(key)
    }
    return outcome
  }

  /** The group is done with, its rows in the store or never to be. */
  end(group: string): void {
    this.#active.delete(group)
  }

  /** Of a group that will not store them. */
  async withdraw(group: string, batches: readonly ClaimedBatch[]): Promise<void> {
    if (batches.length > 0) await this.#options.retry(() => this.#write(group, batches, 1))
  }

  /** After the group's rows were sent and taken: whether they stand. */
  state(group: string, places: readonly string[]): Promise<FenceState> {
    return this.#options.retry(() => readFence(this.#options.client, group, parsePlaces(places)))
  }

  /** Takes back what this server claimed in an earlier life and never began. After the journal was replayed. */
  async withdrawLeftOvers(): Promise<void> {
    const { client, serverId, earlierLife, retry } = this.#options
    if (earlierLife === '') return
    await retry(() =>
      client.command({
        query: `INSERT INTO batch_claims (tenant, batch_id, group_id, server_id, partitions, withdrawn)
          SELECT tenant, batch_id, group_id, any(server_id), any(partitions), 1 FROM batch_claims
          WHERE server_id = {server:String}
            AND at >= toDateTime64({last:String}, 3) - INTERVAL 10 MINUTE
            AND (tenant, batch_id) NOT IN (SELECT tenant, batch_id FROM batches WHERE received_at >= now64(3) - INTERVAL 4 DAY)
          GROUP BY tenant, batch_id, group_id HAVING max(withdrawn) = 0`,
        query_params: { server: serverId, last: earlierLife },
      }),
    )
  }

  /** Decides groups whose servers are gone. Returns those that are torn. */
  async #settle(claims: readonly OtherClaim[]): Promise<Set<string>> {
    const { client, leaseMs, serverId, retry, log } = this.#options
    const torn = new Set<string>()
    for (const { group, server } of new Map(claims.map(claim => [claim.group, claim])).values()) {
      const isOurs = server === serverId
      if (isOurs && this.#active.has(group)) continue
      const now = performance.now()
      if (this.#since.size > 10_000) this.#since.clear()
      const since = this.#since.get(group) ?? now
      this.#since.set(group, since)
      // The whole lease is watched from here, too: a store that was away has seen no signs of life.
      if (!isOurs && (now - since < leaseMs || !(await retry(() => this.#isSilent(server))))) continue
      // Without the right to look there is no telling; a fence is safe then, too, but may find a group torn.
      if (await this.#isRunning(group).catch(() => false)) continue
      const places = parsePlaces(await retry(() => this.#selectPlaces(group)))
      let state: FenceState = 'fenced'
      if (places.length > 0) {
        await retry(() => buildFence(client, group, places))
        state = await retry(() => readFence(client, group, places))
      }
      this.#since.delete(group)
      this.#options.onFence(state)
      log.warn({ group, server, state }, 'claims of a server that is gone were decided')
      if (state === 'fenced') await retry(() => this.#withdrawGroup(group))
      else if (state === 'clear') await retry(() => this.#recordGroup(group))
      else {
        torn.add(group)
        log.error({ group, server }, 'a group is half stored; its batches are refused')
      }
    }
    return torn
  }

  async #write(group: string, batches: readonly ClaimedBatch[], withdrawn: 0 | 1): Promise<void> {
    const rows = new RowWriter(batches.length * 96 + 64)
    for (const { tenant, batchId, places } of batches) {
      rows.string(tenant)
      rows.fixed(batchId)
      rows.string(group)
      rows.string(this.#options.serverId)
      rows.string(places)
      rows.uint8(withdrawn)
    }
    const columns = ['tenant', 'batch_id', 'group_id', 'server_id', 'partitions', 'withdrawn']
    await insertBinary(this.#options.client, 'batch_claims', columns, rows.bytes(), '')
  }

  /** Claims of other groups that were not withdrawn, by batch. */
  async #selectOthers(group: string, keys: readonly string[]): Promise<Map<string, OtherClaim[]>> {
    const others = new Map<string, OtherClaim[]>()
    for (const [tenant, ids] of keysByTenant(keys)) {
      const result = await this.#options.client.query({
        query: `SELECT lower(hex(batch_id)) AS id, group_id AS "group", any(server_id) AS server FROM batch_claims
          WHERE tenant = {tenant:String} AND batch_id IN (${ids.map(id => `unhex('${id}')`).join(', ')}) AND group_id != {group:String}
          GROUP BY batch_id, group_id HAVING max(withdrawn) = 0`,
        query_params: { tenant, group },
        format: 'JSONEachRow',
      })
      for (const row of await result.json<OtherClaim & { id: string }>()) {
        const key = `${tenant}/${row.id}`
        others.set(key, [...(others.get(key) ?? []), { group: row.group, server: row.server }])
      }
    }
    return others
  }

  async #isSilent(server: string): Promise<boolean> {
    const result = await this.#options.client.query({
      query: `SELECT toUInt32(count()) AS alive FROM servers
        WHERE server_id = {server:String} AND at >= now64(3) - toIntervalMillisecond({lease:UInt32})`,
      query_params: { server, lease: this.#options.leaseMs },
      format: 'JSONEachRow',
    })
    return (await result.json<{ alive: number }>())[0]?.alive === 0
  }

  /** Whether the store still works on the group's insert; of a cluster, the node that was asked. */
  async #isRunning(group: string): Promise<boolean> {
    const result = await this.#options.client.query({
      query: `SELECT toUInt32(count()) AS running FROM system.processes
        WHERE query LIKE {insert:String} AND query NOT LIKE '%system.processes%'`,
      query_params: { insert: `%insert_deduplication_token = '${group}'%` },
      format: 'JSONEachRow',
    })
    return (await result.json<{ running: number }>())[0]?.running !== 0
  }

  /** Of the batches that the group did not withdraw: of its rows, exactly. */
  async #selectPlaces(group: string): Promise<string[]> {
    const result = await this.#options.client.query({
      query: `SELECT DISTINCT places FROM (SELECT any(partitions) AS places FROM batch_claims WHERE group_id = {group:String}
        GROUP BY tenant, batch_id HAVING max(withdrawn) = 0)`,
      query_params: { group },
      format: 'JSONEachRow',
    })
    return (await result.json<{ places: string }>()).map(row => row.places)
  }

  async #withdrawGroup(group: string): Promise<void> {
    await this.#options.client.command({
      query: `INSERT INTO batch_claims (tenant, batch_id, group_id, server_id, partitions, withdrawn)
        SELECT tenant, batch_id, group_id, any(server_id), any(partitions), 1 FROM batch_claims
        WHERE group_id = {group:String} GROUP BY tenant, batch_id, group_id`,
      query_params: { group },
    })
  }

  async #recordGroup(group: string): Promise<void> {
    await this.#options.client.command({
      query: `INSERT INTO batches (tenant, batch_id, profiles, received_at)
        SELECT tenant, batch_id, 0, now64(3) FROM batch_claims
        WHERE group_id = {group:String} GROUP BY tenant, batch_id HAVING max(withdrawn) = 0`,
      query_params: { group },
    })
  }
}
