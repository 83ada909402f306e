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

/** The same day again on the days before: levels and counts whole, of the samples the oldest hour alone. */
export async function copyDays(server: BenchServer, days: number): Promise<void> {
  const runs = ['series_1h', 'group_1h', 'functions_1h', 'level_state']
  for (const table of [...runs, 'totals_10m', 'totals_1m', 'profiles']) {
    const run = runs.includes(table) ? ', if(day = 0, run_id, cityHash64(run_id, day)) AS run_id' : ''
    await server.store.command({
      query: `INSERT INTO ${table} SELECT * REPLACE (time - toIntervalDay(day) AS time${run}) EXCEPT day
        FROM (SELECT *, arrayJoin(range(1, ${days})) AS day FROM ${table}) SETTINGS insert_deduplicate = 0, max_threads = 1`,
    })
  }
  await server.store.command({
    query: `INSERT INTO samples SELECT * REPLACE (time - toIntervalDay(${days - 1}) AS time) FROM samples
      WHERE toStartOfHour(time) IN (SELECT DISTINCT toStartOfHour(time) AS hour FROM samples ORDER BY hour LIMIT 2)
      SETTINGS insert_deduplicate = 0`,
  })
}
