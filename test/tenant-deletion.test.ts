import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConformance, startTestServer, type TestServer } from './api-server.ts'

const cli = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
let server: TestServer

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server?.stop())

async function strobe(args: string[], token = ''): Promise<{ code: number; out: string; err: string }> {
  const env = { ...process.env, STROBE_URL: server.url, STROBE_DATA: server.dataDir, STROBE_TOKEN: token }
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli, ...args], { env })
    return { code: 0, out: stdout.trim(), err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

test('a deleted tenant has no keys and no profiles; its neighbour has both', async () => {
  const operator = (await strobe(['admin', 'keys', 'create', '--role', 'admin'])).out
  const body = new Uint8Array(await readConformance('pprof/go-cpu-fib.pb.gz'))
  const tokens: Record<string, string> = {}
  const push = (tenant: string) =>
    fetch(new URL('api/v1/profiles?service=fib', server.url), {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', authorization: `Bearer ${tokens[tenant]}` },
      body,
    })
  for (const tenant of ['acme', 'neighbour']) {
    const key = ['admin', 'keys', 'create', '--tenant', tenant, '--role', 'admin']
    tokens[tenant] = (await strobe(key, operator)).out
    expect((await push(tenant)).status).toBe(200)
  }
  const services = (tenant: string) => strobe(['services', '--json'], tokens[tenant])

  expect((await strobe(['admin', 'delete-tenant', 'acme'], operator)).err).toContain('add --yes')
  expect((await strobe(['admin', 'delete-tenant', 'acme', '--yes'], tokens.neighbour)).err).toContain(
    'FORBIDDEN',
  )
  expect((await services('acme')).out).toContain('"fib"')
  expect(await strobe(['admin', 'delete-tenant', 'acme', '--yes'], operator)).toMatchObject({ code: 0 })

  expect((await push('acme')).status).toBe(401)
  expect((await services('neighbour')).out).toContain('"fib"')
  // The name may be used again, and has nothing of before; what it sends brings its stacks along.
  tokens.acme = (
    await strobe(['admin', 'keys', 'create', '--tenant', 'acme', '--role', 'admin'], operator)
  ).out
  expect((await services('acme')).out).not.toContain('fib')
  expect((await push('acme')).status).toBe(200)
  const top = await strobe(['top', '--type', 'cpu', '{service_name="fib"}', '--json'], tokens.acme)
  expect(top.out).toContain('math/big.addVV')
}, 90_000)
