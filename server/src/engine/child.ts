/**
 * The engine's process: ClickHouse as a library behind its own HTTP protocol on a private socket, so that
 * its memory, threads and crashes are not the server's. Started by supervisor.ts with an IPC channel and
 * bound to it: when the parent goes, so does this process.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toCodedError } from '../errors.ts'
import { openDatabase } from './database.ts'
import { createEngineHttp } from './http.ts'
import type { EngineSettings } from './settings.ts'

export interface ChildSettings extends EngineSettings {
  socketPath: string
}

export type ChildMessage =
  | { type: 'ready'; startMs: number; listenPort: number }
  | { type: 'failed'; code: string; message: string }

// A group of profiles is a small part in each of ten tables, and merging them cost nearly as much as inserting them.
// Merges of twice as many parts as the default has (5) write a row a third as often, and leave twice as many new
// parts to be read; parts that are an hour old merge as ever.
const mergeSelectorBase = 10

// The engine's defaults are for a machine of its own: 0.9 of the memory and 5 GB of marks.
function configuration(settings: EngineSettings): string {
  const cacheBytes = Math.floor(settings.memoryBytes / 16)
  const entries: [string, number | string][] = [
    ['max_server_memory_usage', settings.memoryBytes],
    ['mark_cache_size', cacheBytes],
    ['primary_index_cache_size', cacheBytes],
    ['index_mark_cache_size', cacheBytes],
    ['uncompressed_cache_size', 0],
    ['background_pool_size', 2],
    ['background_schedule_pool_size', 4],
    ['background_common_pool_size', 2],
    ['background_fetches_pool_size', 1],
    ['background_move_pool_size', 1],
  ]
  return `<clickhouse>\n${entries.map(([name, value]) => `  <${name}>${value}</${name}>`).join('\n')}
  <merge_tree><merge_selector_base>${mergeSelectorBase}</merge_selector_base></merge_tree>\n</clickhouse>\n`
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function send(message: ChildMessage): Promise<void> {
  return new Promise(resolve => {
    if (!process.send) resolve()
    else process.send(message, () => resolve())
  })
}

async function run(settings: ChildSettings): Promise<void> {
  const startedAt = performance.now()
  mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 })
  const temporaryDir = join(settings.dataDir, 'tmp-inserts')
  const configFile = join(settings.dataDir, 'engine.xml')
  // On a full disk a file that is written anew is an empty one.
  const wanted = configuration(settings)
  if (readIfThere(configFile) !== wanted) writeFileSync(configFile, wanted, { mode: 0o600 })
  const open = openDatabase(join(settings.dataDir, 'store'), configFile)
  // Only now, when the lock is ours: these may belong to another process until then.
  rmSync(temporaryDir, { recursive: true, force: true })
  mkdirSync(temporaryDir, { mode: 0o700 })
  rmSync(settings.socketPath, { force: true })
  const http = createEngineHttp(open, { ...settings, temporaryDir })
  process.umask(0o177)
  await new Promise<void>((resolve, reject) => {
    http.server.once('error', reject)
    http.server.listen(settings.socketPath, resolve)
  })
  chmodSync(settings.socketPath, 0o600)
  process.umask(0o077)
  const listenPort = settings.listen === '' ? 0 : await http.listen(settings.listen, settings.password)

  const stop = async (graceMs: number) => {
    await http.close(graceMs)
    process.exit(0)
  }
  process.on('message', (message: { type: string; graceMs: number }) => {
    if (message.type === 'stop') void stop(message.graceMs)
  })
  // The parent is gone and with it all who could ask; it may have gone while the store was opened. No exit():
  // with statements under way the library's exit handlers wait for a lock that is never let go
  // (chdb 3.4.0, libchdb 26.7.2.1), and the folder would stay locked. What is not answered its sender has still.
  const endAtOnce = () => {
    rmSync(settings.socketPath, { force: true })
    process.kill(process.pid, 'SIGKILL')
  }
  process.on('disconnect', endAtOnce)
  if (!process.connected) endAtOnce()
  await send({ type: 'ready', startMs: Math.round(performance.now() - startedAt), listenPort })
}

// A terminal sends these to the whole group; the parent decides when the engine ends.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

run(JSON.parse(process.env.STROBE_ENGINE_CHILD ?? '{}') as ChildSettings).catch(async (error: unknown) => {
  const { code, message } = toCodedError(error)
  await send({ type: 'failed', code, message })
  process.exit(1)
})
