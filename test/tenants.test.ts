import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readConfig } from '@strobe/server'
import { type RunningServer, runServer } from '@strobe/server/main'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { IngestClient } from '../agent/src/ship/ingest-client.ts'
import { readConformance } from './api-server.ts'
import { makeBatch } from './ingest-process.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'strobe-tenants-'))
let server: RunningServer
const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}

interface Answer {
  status: number
  body: Record<string, unknown> & { code?: string }
}

async function call(method: string, path: string, token: string, body?: Uint8Array): Promise<Answer> {
  const response = await fetch(new URL(`api/v1/${path}`, server.url), {
    method,
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(method === 'GET' ? {} : { 'content-type': body ? 'application/octet-stream' : 'application/json' }),
    },
    ...(body ? { body: new Uint8Array(body) } : {}),
  })
  const text = await response.text()
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : {} }
}

async function makeKey(tenant: string, role: string, by: string): Promise<Answer> {
  const answer = await call('POST', `admin/keys?tenant=${tenant}&role=${role}`, by)
  const { token, id } = answer.body as unknown as { token: string; id: string }
  tokens[`${tenant} ${role}`] = token
  ids[`${tenant} ${role}`] = id
  return answer
}

/** Beyond loopback, so that keys are needed from the first request on. */
const start = async () => {
  server = await runServer(
    readConfig({ port: '0', grpcPort: '0', listen: '0.0.0.0', dataDir, logLevel: 'silent' }, {}),
  )
  tokens.local = (
    JSON.parse(readFileSync(join(dataDir, 'admin-token.json'), 'utf8')) as { token: string }
  ).token
}

beforeAll(async () => {
  await start()
  const profile = await readConformance('pprof/go-cpu-fib.pb.gz')
  expect(await call('POST', 'profiles?service=api', '', profile)).toMatchObject({
    status: 401,
    body: { code: 'UNAUTHENTICATED', details: { reason: 'missing' } },
  })
  expect((await makeKey('acme', 'ingest', tokens.local!)).body.code).toBe('BAD_REQUEST')
  for (const tenant of ['default', 'acme', 'globex'])
    for (const role of ['admin', 'ingest', 'read'])
      expect((await makeKey(tenant, role, tokens.local!)).status).toBe(200)
  for (const [tenant, times] of [
    ['acme', 1],
    ['globex', 2],
  ] as const)
    for (let n = 0; n < times; n++) {
      const path = `profiles?service=${tenant}-api&label.host_name=h${n}`
      expect((await call('POST', path, tokens[`${tenant} ingest`]!, profile)).status).toBe(200)
    }
})

afterAll(async () => {
  await server?.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

const range = 'from=now-1h&to=now%2B1m'
const total = 29_740_000_000

test.each([
  ['acme', 1],
  ['globex', 2],
  ['default', 0],
] as const)('%s reads what it wrote and nothing else', async (tenant, profiles) => {
  const key = tokens[`${tenant} read`]!
  const services = await call('GET', `services?${range}`, key)
  expect((services.body.services as { name: string }[]).map(each => each.name)).toEqual(
    profiles > 0 ? [`${tenant}-api`] : [],
  )
  const values = await call('GET', `labels/service_name/values?${range}`, key)
  expect(values.body.values).toEqual(profiles > 0 ? [`${tenant}-api`] : [])
  for (const query of ['{}', '{service_name=~".*"}', '{service_name="acme-api"}']) {
    const isOwn = profiles > 0 && (query !== '{service_name="acme-api"}' || tenant === 'acme')
    for (const route of ['functions', 'flamegraph', 'series', 'profile'] as const) {
      const path = `${route}?type=cpu&query=${encodeURIComponent(query)}&${range}`
      const { status, body } = await call('GET', route === 'profile' ? `${path}&format=json` : path, key)
      if (profiles === 0) expect([status, body.code]).toEqual([404, 'TYPE_UNKNOWN'])
      else if (route === 'functions' || route === 'flamegraph')
        expect([route, query, body.total]).toEqual([route, query, isOwn ? profiles * total : 0])
      else expect(JSON.stringify(body)).not.toContain(tenant === 'acme' ? 'globex' : 'acme')
    }
  }
})

test.each([
  ['acme ingest', 'GET', `services?${range}`, 403],
  ['acme read', 'POST', 'profiles?service=x', 403],
  ['acme read', 'GET', 'admin/tenants/acme', 403],
  ['acme admin', 'GET', `services?${range}`, 200],
  ['acme admin', 'GET', 'admin/tenants/acme', 200],
  ['acme admin', 'GET', 'admin/tenants/globex', 403],
  ['acme admin', 'GET', 'admin/tenants', 403],
  ['acme admin', 'PUT', 'admin/tenants/acme/settings/stack_depth?value=100', 403],
  ['acme admin', 'GET', 'admin/keys?tenant=globex', 403],
  ['acme admin', 'POST', 'admin/keys?tenant=globex&role=read', 403],
  ['default read', 'GET', 'admin/tenants', 403],
  ['default admin', 'GET', 'admin/tenants', 200],
  ['default admin', 'GET', 'admin/tenants/globex', 200],
] as const)('%s: %s %s answers %i', async (key, method, path, status) => {
  const answer = await call(method, path, tokens[key]!)
  expect(answer.status).toBe(status)
  if (status === 403) expect(answer.body.code).toBe('FORBIDDEN')
})

test('an admin sees and revokes the keys of its own tenant alone', async () => {
  const { body } = await call('GET', 'admin/keys', tokens['acme admin']!)
  const keys = body.keys as unknown as Record<string, unknown>[]
  expect(new Set(keys.map(key => key.tenant))).toEqual(new Set(['acme']))
  expect(JSON.stringify(keys)).not.toMatch(/hash|token|strobe_/)
  expect((await call('DELETE', `admin/keys/${ids['globex read']}`, tokens['acme admin']!)).status).toBe(403)

  const { body: spare } = await call('POST', 'admin/keys?role=read&note=spare', tokens['acme admin']!)
  expect(spare).toMatchObject({ tenant: 'acme', role: 'read', note: 'spare', revokedAt: null })
  const { id, token } = spare as unknown as { id: string; token: string }
  const path = `services?${range}`
  expect((await call('GET', path, token)).status).toBe(200)
  expect((await call('DELETE', `admin/keys/${id}`, tokens['acme admin']!)).status).toBe(200)
  expect(await call('GET', path, token)).toMatchObject({
    status: 401,
    body: { details: { reason: 'revoked', key: id } },
  })
})

test('the token of the machine is for its user alone; probes need no key, metrics do', async () => {
  expect(statSync(join(dataDir, 'admin-token.json')).mode & 0o777).toBe(0o600)
  const status = async (path: string, key = '') =>
    (
      await fetch(
        new URL(path, server.url),
        key === '' ? {} : { headers: { authorization: `Bearer ${tokens[key]}` } },
      )
    ).status
  expect([await status('healthz'), await status('readyz')]).toEqual([200, 200])
  expect([await status('metrics'), await status('metrics', 'globex read')]).toEqual([401, 403])
  expect(await status('metrics', 'default read')).toBe(200)
})

test('agents send the key with every call, over gRPC', async () => {
  const send = async (key: string) => {
    const client = new IngestClient(server.grpcAddress, 10_000, () => tokens[key] ?? '')
    const batch = makeBatch(1)
    batch.batchId = Buffer.from(key.padEnd(16, '.').slice(0, 16))
    const written = await client.write(batch)
    client.close()
    return written.ok
      ? 'stored'
      : `${written.failure.code} ${written.failure.isRetryable ? 'again' : 'never'}`
  }
  expect(await send('')).toBe('UNAUTHENTICATED again')
  expect(await send('acme read')).toBe('FORBIDDEN again')
  expect(await send('globex ingest')).toBe('stored')
  const services = async (key: string) =>
    ((await call('GET', `services?${range}`, tokens[key]!)).body.services as { name: string }[]).map(
      one => one.name,
    )
  expect([await services('globex admin'), await services('acme admin')]).toEqual([
    ['api', 'globex-api'],
    ['acme-api'],
  ])
})

test('the CLI administers the server of its folder without a key, and others with one', async () => {
  const cli = async (env: Record<string, string>, ...args: string[]) => {
    const main = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
    const run = promisify(execFile)(process.execPath, [main, ...args, '--server', server.url], {
      env: { PATH: process.env.PATH, ...env },
      cwd: tmpdir(),
    })
    return run.then(
      ({ stdout }) => stdout,
      (error: { stderr: string }) => error.stderr,
    )
  }
  const here = { STROBE_DATA: dataDir }
  const token = (await cli(here, 'admin', 'keys', 'create', '--tenant', 'initech', '--role', 'read')).trim()
  expect(token).toMatch(/^strobe_[0-9a-f]{12}_[\w-]{43}$/)
  expect(await cli({ STROBE_TOKEN: token }, 'services')).toBe('')
  expect(await cli({ STROBE_TOKEN: token }, 'admin', 'tenants')).toMatch(
    /FORBIDDEN: .*admin key of the tenant default/,
  )
  expect(await cli({}, 'services')).toMatch(/UNAUTHENTICATED: .*--token-file/)
  expect(await cli(here, 'admin', 'tenants')).toMatch(/^initech +1/m)
  expect(await cli(here, 'admin', 'limits', '--tenant', 'initech', 'past_window', '30d')).toMatch(
    /^past_window +30d +set/m,
  )
  expect(await cli(here, 'admin', 'limits', '--tenant', 'initech', 'past_window', 'default')).toMatch(
    /^past_window +14d +default/m,
  )
})

test('keys and settings outlive the server; the token of the machine does not', async () => {
  const { local } = tokens
  const set = (value: string) =>
    call('PUT', `admin/tenants/acme/settings/stack_depth?value=${value}`, tokens['default admin']!)
  expect((await set('99999999')).body.code).toBe('BAD_REQUEST')
  expect((await set('100')).status).toBe(200)
  const list = (value: string) =>
    call('PUT', `admin/tenants/globex/settings/group_labels?value=${value}`, tokens['default admin']!)
  expect((await list('a-b')).body).toMatchObject({ code: 'BAD_REQUEST', details: { value: 'a-b' } })
  expect((await list(Array.from({ length: 12 }, (_, at) => `l${at}`).join(','))).body).toMatchObject({
    code: 'BAD_REQUEST',
    details: { limit: 12, observed: 13 },
  })
  expect((await list('host_name')).status).toBe(200)
  await server.stop()
  await start()
  expect(tokens.local).not.toBe(local)
  expect((await call('GET', 'admin/tenants', local!)).status).toBe(401)
  const { body } = await call('GET', 'admin/tenants', tokens['default admin']!)
  expect(body.tenants).toContainEqual({ name: 'acme', keys: 3, settings: { stack_depth: '100' } })
  expect(body.tenants).toContainEqual({
    name: 'globex',
    keys: 3,
    settings: { group_labels: 'service_name,host_name' },
  })
  await set('')
  const { body: after } = await call('GET', 'admin/tenants/acme', tokens['acme admin']!)
  expect(after.settings).toContainEqual(
    expect.objectContaining({ name: 'stack_depth', value: '4096', isDefault: true }),
  )
})
