import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { selectRows } from './ingest-process.ts'
import { isAlive, openStore, type ServerProcess, spawnServer } from './server-process.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'strobe-orphan-'))
let server: ServerProcess
let enginePid = 0
afterAll(() => {
  server.child.kill('SIGKILL')
  if (isAlive(enginePid)) process.kill(enginePid, 'SIGKILL')
  rmSync(dataDir, { recursive: true, force: true })
})

test('an engine whose server is killed while statements run ends, and the folder is free', async () => {
  server = spawnServer(dataDir)
  await server.ready
  enginePid = server.enginePid()!
  const store = openStore(dataDir)
  await store.command({ query: 'CREATE TABLE busy (a UInt64) ENGINE MergeTree ORDER BY a' })
  const running = [
    ...Array.from({ length: 2 }, () =>
      store.command({ query: 'INSERT INTO busy SELECT cityHash64(number) FROM numbers(2000000000)' }),
    ),
    ...Array.from({ length: 3 }, (_, at) =>
      selectRows(store, `SELECT uniqExact(cityHash64(number, ${at})) FROM numbers(20000000000)`),
    ),
  ].map(each => Promise.resolve(each).catch(() => {}))
  await vi.waitFor(
    async () =>
      expect(
        await selectRows(store, "SELECT count() >= 5 FROM system.processes WHERE query LIKE '%cityHash64%'"),
      ).toEqual([[1]]),
    { timeout: 20_000 },
  )

  server.child.kill('SIGKILL')
  await server.ended
  await vi.waitFor(() => expect(isAlive(enginePid)).toBe(false), { timeout: 15_000 })
  await Promise.all(running)
  await store.close()

  const next = spawnServer(dataDir)
  await next.ready
  await next.stop()
})
