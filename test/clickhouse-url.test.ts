import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request as httpRequest, type Server } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '@strobe/server'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultEngineSettings } from '../server/src/engine/settings.ts'
import { type Engine, startEngine } from '../server/src/engine/supervisor.ts'
import { openStore } from '../server/src/open-store.ts'
import { createStoreClient } from '../server/src/storage/client.ts'
import { readConformance, startTestServer } from './api-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'strobe-url-'))
const password = 'päss:word/of @the test'
const servers: Server[] = []
let engine: Engine
let port: number
let plainPort: number
let otherPort: number

const file = (name: string) => join(folder, name)

/** A CA, and what it signs: a server for 127.0.0.1 and a client; and a CA that signs nothing here. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  for (const ca of ['ca', 'other-ca'])
    openssl(
      ...`req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ${ca}.key -out ${ca}.pem`.split(
        ' ',
      ),
      '-subj',
      `/CN=${ca}`,
    )
  writeFileSync(file('server.ext'), 'subjectAltName=IP:127.0.0.1\n')
  writeFileSync(file('client.ext'), 'extendedKeyUsage=clientAuth\n')
  for (const name of ['server', 'client']) {
    openssl(
      ...`req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`.split(
        ' ',
      ),
    )
    openssl(
      ...`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ${name}.ext -out ${name}.pem`.split(
        ' ',
      ),
    )
  }
}

/** host: 127.0.0.1 by number, since a minimal machine has no localhost in its /etc/hosts. */
function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  servers.push(server)
  return new Promise(resolve => server.listen(0, host, () => resolve((server.address() as AddressInfo).port)))
}

beforeAll(async () => {
  makeCertificates()
  const log = { info() {}, warn() {}, error() {} }
  engine = await startEngine(
    { ...defaultEngineSettings(file('engine')), listen: '127.0.0.1:0', password },
    log,
  )
  const client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  await client.command({ query: 'CREATE DATABASE profiles_here' })
  await client.close()
  plainPort = engine.listenPort()
  // What stands before a cluster: TLS, client certificates, and only what is below /clickhouse.
  const pem = (name: string) => readFileSync(file(name))
  port = await listen(
    createServer(
      {
        key: pem('server.key'),
        cert: pem('server.pem'),
        ca: pem('ca.pem'),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => {
        const path = /^\/clickhouse(?=[/?]|$)\/?(.*)$/.exec(request.url ?? '')?.[1]
        if (path === undefined) {
          response.statusCode = 404
          response.end('no such page\n')
          return
        }
        const { method, headers } = request
        const forward = httpRequest(
          { host: '127.0.0.1', port: plainPort, method, headers, path: `/${path}` },
          answer => {
            response.writeHead(answer.statusCode!, answer.headers)
            answer.pipe(response)
          },
        )
        forward.on('error', () => response.destroy())
        request.pipe(forward)
      },
    ),
    // Also at 127.0.0.2, which its certificate lacks.
    '0.0.0.0',
  )
  otherPort = await listen(createHttpServer((_request, response) => response.end('<html>a page</html>')))
  writeFileSync(file('password'), `${password}\n`)
  writeFileSync(file('wrong'), 'not the password\n')
})

afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  await engine?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const tls = () => ({
  clickhouseUrl: `https://strobe@127.0.0.1:${port}/clickhouse/profiles_here`,
  clickhouseCa: file('ca.pem'),
  clickhouseCert: file('client.pem'),
  clickhouseKey: file('client.key'),
  clickhousePasswordFile: file('password'),
})

test('profiles go and come through TLS, a client certificate, a path prefix and a database of their own', async () => {
  const server = await startTestServer(tls())
  try {
    const bytes = await readConformance('pprof/go-cpu-fib.pb.gz')
    expect((await server.push(bytes, { service: 'api' })).status).toBe(200)
    const { body } = await server.get('functions', { type: 'cpu', from: 'now-1h', to: 'now+1m' })
    expect((body as { total: number }).total).toBe(29_740_000_000)
  } finally {
    await server.stop()
  }
  // Nothing of it lies elsewhere.
  const client = createStoreClient(engine.address, { requestTimeoutMs: 30_000 })
  const result = await client.query({
    query: `SELECT database FROM system.tables WHERE name = 'samples'`,
    format: 'JSONCompactEachRow',
  })
  expect(await result.json()).toEqual([['profiles_here']])
  await client.close()
})

test('a password in the URL is percent-encoded', async () => {
  const store = await open({
    clickhouseUrl: `http://strobe:${encodeURIComponent(password)}@127.0.0.1:${plainPort}/default`,
  })
  expect(store.isShared).toBe(true)
})

function open(settings: Record<string, string>) {
  const dataDir = file('data')
  mkdirSync(dataDir, { recursive: true })
  return openStore(readConfig({ dataDir, ...settings }, {}), pino({ level: 'silent' }), () => {})
}

const failures: [what: string, settings: () => Record<string, string>, code: string, message: RegExp][] = [
  [
    'a CA of others',
    () => ({ ...tls(), clickhouseCa: file('other-ca.pem') }),
    'STORE_TLS_FAILED',
    /--clickhouse-ca/,
  ],
  ['no CA', () => ({ ...tls(), clickhouseCa: '' }), 'STORE_TLS_FAILED', /--clickhouse-ca/],
  [
    'a name that the certificate lacks',
    () => ({ ...tls(), clickhouseUrl: tls().clickhouseUrl.replace('127.0.0.1', '127.0.0.2') }),
    'STORE_TLS_FAILED',
    /for another name.*127\.0\.0\.2/,
  ],
  [
    'no client certificate',
    () => ({ ...tls(), clickhouseCert: '', clickhouseKey: '' }),
    'STORE_TLS_FAILED',
    /--clickhouse-cert and --clickhouse-key/,
  ],
  [
    'https on a port without',
    () => ({ ...tls(), clickhouseUrl: `https://strobe@127.0.0.1:${plainPort}/x` }),
    'STORE_TLS_FAILED',
    /does not speak TLS.*use http:/,
  ],
  [
    'a wrong password',
    () => ({ ...tls(), clickhousePasswordFile: file('wrong') }),
    'STORE_LOGIN_REFUSED',
    /refuses user strobe.*--clickhouse-password-file/,
  ],
  [
    'a database that is not there',
    () => ({ ...tls(), clickhouseUrl: `https://strobe@127.0.0.1:${port}/clickhouse/nowhere` }),
    'STORE_DATABASE_MISSING',
    /CREATE DATABASE nowhere/,
  ],
  [
    'a path that is not forwarded',
    () => ({ ...tls(), clickhouseUrl: `https://strobe@127.0.0.1:${port}/profiles_here` }),
    'STORE_FAILED',
    /no such page; check the host, port and path/,
  ],
  [
    'another server',
    () => ({ clickhouseUrl: `http://127.0.0.1:${otherPort}/x` }),
    'STORE_FAILED',
    /no ClickHouse/,
  ],
  [
    'a port where nothing listens',
    () => ({ clickhouseUrl: 'http://user:secret-word@127.0.0.1:1/x' }),
    'STORE_UNREACHABLE',
    /http:\/\/127\.0\.0\.1:1\/x \(ECONNREFUSED\)/,
  ],
  [
    'a host that is not there',
    () => ({ clickhouseUrl: 'http://user:secret-word@host.invalid/x' }),
    'STORE_UNREACHABLE',
    /host\.invalid/,
  ],
  ['half a pair', () => ({ ...tls(), clickhouseKey: '' }), 'CONFIG_INVALID', /both --clickhouse-cert and/],
  [
    'a file that is not there',
    () => ({ ...tls(), clickhouseCa: '/nowhere.pem' }),
    'CONFIG_INVALID',
    /nowhere\.pem/,
  ],
  ['no address', () => ({ clickhouseUrl: 'localhost:8123' }), 'CONFIG_INVALID', /scheme|no address/],
]
test.each(failures)(
  '%s: the message names the address and the way out',
  async (_what, settings, code, message) => {
    const error = (await open(settings()).then(
      () => new Error('it opened'),
      (failure: unknown) => failure,
    )) as Error & { code?: string; details?: object }
    expect(error).toMatchObject({ code })
    expect(error.message).toMatch(message)
    for (const secret of [password, encodeURIComponent(password), 'not the password', 'secret-word'])
      expect(error.message + JSON.stringify(error.details)).not.toContain(secret)
  },
)
