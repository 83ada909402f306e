import { LevelJob } from '../server/src/storage/levels/job.ts'
import { type LevelName, levelNames } from '../server/src/storage/levels/level.ts'
import { defaultLevelSettings } from '../server/src/storage/levels/settings.ts'
import { statements } from '../server/src/storage/migrations/0002-levels.ts'
import type { BenchServer } from './server.ts'

/** Rows that stand in `profiles` without having come through the view. */
export async function countProfiles(server: BenchServer): Promise<void> {
  await server.store.command({ query: 'TRUNCATE TABLE totals_10m' })
  const backfill = statements.find(statement => statement.startsWith('INSERT INTO totals_10m'))!
  await server.store.command({
    query: backfill.replace('insert_deduplicate = 1', 'insert_deduplicate = 0'),
  })
}

/** Sums every period that ended before nowMs, without the pauses. Returns CPU-seconds and rows by level. */
export async function sumLevels(
  server: BenchServer,
  nowMs: number,
): Promise<Record<LevelName, { cpuSeconds: number; rows: number }>> {
  const cost = Object.fromEntries(levelNames.map(name => [name, { cpuSeconds: 0, rows: 0 }])) as Record<
    LevelName,
    { cpuSeconds: number; rows: number }
  >
  let since = 0
  const job = new LevelJob({
    client: server.store,
    settings: { ...defaultLevelSettings(), pauseRatio: 0, niceness: 0 },
    log: { warn: (facts, message) => console.error(message, facts) },
    metrics: {
      ran() {},
      ranFor(level) {
        cost[level].cpuSeconds += server.cpuSeconds() - since
      },
      wrote(level, rows) {
        cost[level].rows += rows
      },
      lags() {},
      deleted() {},
    },
    now: () => nowMs,
    onStep(step) {
      if (step === 'begun') since = server.cpuSeconds()
    },
  })
  while (await job.look());
  return cost
}

/**
 * The same hours again and again before themselves: levels and counts of all blocks, samples of some.
 *
 * fromS, toS: the block, whole hours. blocks: how many copies. withSamples: of which, counted back from 1.
 */
export async function copyBack(
  server: BenchServer,
  fromS: number,
  toS: number,
  blocks: number,
  withSamples: readonly number[],
): Promise<void> {
  const seconds = toS - fromS
  const runs = ['group_10m', 'series_1h', 'group_1h', 'functions_1h', 'level_state']
  const copy = async (table: string, list: string) => {
    const run = runs.includes(table) ? ', cityHash64(run_id, block) AS run_id' : ''
    await server.store.command({
      query: `INSERT INTO ${table} SELECT * REPLACE (time - toIntervalSecond(${seconds} * block) AS time${run}) EXCEPT block
        FROM (SELECT *, arrayJoin(${list}) AS block FROM ${table}
          WHERE time >= fromUnixTimestamp(${fromS}) AND time < fromUnixTimestamp(${toS}))
        SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 1000`,
    })
  }
  for (const table of [...runs, 'totals_10m', 'totals_1m', 'profiles'])
    for (let first = 1; first <= blocks; first += 12)
      await copy(table, `range(${first}, ${Math.min(first + 12, blocks + 1)})`)
  await copy('samples', `[${withSamples.join(', ')}]`)
}
