import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestServer, type TestServer } from './api-server.ts'

const main = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
const conformance = fileURLToPath(new URL('data/conformance/', import.meta.url))
let server: TestServer
let folder: string

beforeAll(async () => {
  server = await startTestServer()
  folder = await mkdtemp(join(tmpdir(), 'strobe-cli-'))
})
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

function strobe(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [main, ...args],
      { env: { ...process.env, STROBE_URL: server.url }, maxBuffer: 2 ** 26 },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

test('what is pushed is listed, shown and saved', async () => {
  const file = join(conformance, 'pprof/go-cpu-fib.pb.gz')
  const pushed = await strobe('push', file, '--service', 'fib', '--label', 'zone=a')
  // On stderr stands at most how far it is: a slow machine takes over a second.
  expect(pushed.code).toBe(0)
  expect(pushed.out).toMatch(
    /29\.7 s\s+115\s+process_cpu:cpu\s+now, was 2021-07-16T13:10:30\s+go-cpu-fib\.pb\.gz/,
  )
  const range = ['--to', 'now+1m']
  expect((await strobe('services', ...range)).out).toMatch(/^fib\s+0\.986 cores\s+1\s/m)
  expect((await strobe('labels', ...range)).out).toBe('service_name\nzone\n')
  expect((await strobe('labels', 'zone', ...range)).out).toBe('a\n')
  const top = await strobe('top', '{zone="a"}', '-n', '1', ...range)
  expect(top.out.split('\n')[1]).toMatch(
    /^28\.6 s\s+96\.2 %\s+28\.6 s\s+96\.2 %\s+pprof-example-app-go\s+math\/big\.addVV$/,
  )
  const json = JSON.parse((await strobe('top', '--json', '-n', '1', ...range)).out) as { total: number }
  expect(json.total).toBe(29_740_000_000)
  const byFile = await strobe(
    'query',
    'cpu{zone="a"}',
    '--group',
    'file',
    '--focus',
    'calculateFib',
    ...range,
  )
  expect(byFile.err).toMatch(/29\.5 s of 29\.7 s pass through calculateFib \(99\.2 %\)/)
  expect(byFile.out).toMatch(/^ *SELF\s+SELF%\s+TOTAL\s+TOTAL%\s+FILE$/m)
  expect(byFile.out).toMatch(/29\.5 s\s+100 %\s+\S*main\.go$/m)
  const hidden = await strobe('top', '--hide', '^math/big\\.', '-n', '1', ...range)
  expect(hidden.out.split('\n')[1]).toMatch(/^28\.8 s\s+96\.7 %\s+29\.2 s\s+98\.2 %.*fib\.Fibonacci$/)
  const out = join(folder, 'x.pb.gz')
  expect(await strobe('query', '-o', out, ...range)).toMatchObject({ code: 0 })
  expect((await stat(out)).size).toBeGreaterThan(1000)
})

test.each([
  ['a file that is no profile', ['push', main], 1, /PROFILE_MALFORMED/],
  ['a file that is not there', ['push', '/nonexistent'], 1, /ENOENT/],
  ['an unknown type', ['top', '--type', 'nope'], 1, /TYPE_UNKNOWN/],
  ['an unknown option', ['top', '--nope'], 2, /unknown option/],
  ['an unknown command', ['nope'], 2, /unknown command/],
  ['a wrong setting', ['server', '--port', '70000'], 2, /--port=70000: more than 65535/],
  ['a wrong regex', ['top', '--focus', 'a(b'], 1, /BAD_REGEX: focus: .* at character 1/],
  ['an output without a format', ['query', '-o', 'x.bin'], 2, /does not say which format/],
  ['no server', ['services', '--server', 'http://127.0.0.1:9'], 3, /no server answers/],
])('%s: %o ends with %i', async (_name, args, code, message) => {
  const result = await strobe(...args)
  expect([result.code, result.out]).toEqual([code, ''])
  expect(result.err).toMatch(message)
})

test('a taken port names its holder and another port', async () => {
  const { code, err } = await strobe('server', '--port', String(server.port), '--data', join(folder, 'taken'))
  expect(code).toBe(1)
  expect(err).toMatch(
    new RegExp(`PORT_TAKEN: port ${server.port} is taken by pid ${process.pid} .*--port ${server.port + 10}`),
  )
})

test('up runs a server that ends with it, says so when run again, and stops once on two quick signals', async () => {
  const dataDir = join(folder, 'up')
  const up = spawn(process.execPath, [
    main,
    'up',
    '--no-agent',
    '--port',
    '0',
    '--grpc-port',
    '0',
    '--data',
    dataDir,
  ])
  let said = ''
  up.stderr.setEncoding('utf8').on('data', text => {
    said += text
  })
  const ended = new Promise<number | null>(resolve => up.once('exit', resolve))
  await expect.poll(() => said, { timeout: 30_000 }).toMatch(/Open {2}http:\/\/localhost:\d+\//)
  const url = /http:\/\/localhost:(\d+)\//.exec(said)!
  const again = await strobe('up', '--port', url[1]!, '--data', dataDir)
  expect(again).toMatchObject({ code: 0 })
  expect(again.err).toContain(`already runs on ${url[0]}`)
  up.kill('SIGINT')
  up.kill('SIGINT')
  expect(await ended).toBe(0)
  await expect(fetch(url[0])).rejects.toThrow()
})
