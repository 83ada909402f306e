import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readConfig } from '@strobe/server'
import { type RunOptions, runServer } from '@strobe/server/main'

export interface TestServer {
  url: string
  port: number
  grpcAddress: string
  dataDir: string
  get(path: string, parameters?: Record<string, string | number>): Promise<{ status: number; body: never }>
  push(bytes: Uint8Array, parameters: Record<string, string>): Promise<{ status: number; body: never }>
  stop(): Promise<void>
}

/** A whole server with an engine of its own on free ports. settings: as flags. */
export async function startTestServer(
  settings: Record<string, unknown> = {},
  options: RunOptions = {},
): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'strobe-api-'))
  const config = readConfig({ port: '0', grpcPort: '0', dataDir, logLevel: 'error', ...settings }, {})
  const server = await runServer(config, options)
  const read = async (response: Response) => ({
    status: response.status,
    body: (await response.json()) as never,
  })
  return {
    url: server.url,
    port: server.port,
    grpcAddress: server.grpcAddress,
    dataDir,
    get: async (path, parameters = {}) => {
      const url = new URL(`api/v1/${path}`, server.url)
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, String(value))
      return read(await fetch(url))
    },
    push: async (bytes, parameters) => {
      const url = new URL('api/v1/profiles', server.url)
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      return read(
        await fetch(url, {
          method: 'POST',
          headers: { 'content-type': 'application/octet-stream' },
          body: new Uint8Array(bytes),
        }),
      )
    },
    async stop() {
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export function readConformance(file: string): Promise<Buffer> {
  return readFile(fileURLToPath(new URL(`data/conformance/${file}`, import.meta.url)))
}
