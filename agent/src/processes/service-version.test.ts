import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { NativeProcess, NativeProcessFiles } from '../bpf/native.ts'
import { nativeProcess } from '../testing.ts'
import { parseOtelResource } from './otel-resource.ts'
import type { ProcessStat } from './process-stat.ts'
import { findServiceVersion } from './service-version.ts'
import { ServiceVersions } from './service-versions.ts'

const commit = '0123456789abcdef0123456789abcdef01234567'

type Owner = 'package' | 'none' | 'unknown'

/** A root whose files the test writes. */
function testFiles(
  content: Record<string, string | Buffer>,
  executable = { buildId: 'b1', owner: 'none' as Owner },
): NativeProcessFiles {
  const answer = (bytes: string | Buffer | undefined) =>
    Promise.resolve(
      bytes === undefined
        ? { reason: 'FILE_MISSING', bytes: new Uint8Array() }
        : { reason: '', bytes: Buffer.from(bytes as string) },
    )
  return {
    read: (_pid, _start, path) => answer(content[path]),
    list: (_pid, _start, path) => answer(content[path]),
    executable: () => Promise.resolve({ reason: '', ...executable }),
  }
}

/** A jar whose only entry is its manifest. */
function jar(manifest: string): Buffer {
  const name = 'META-INF/MANIFEST.MF'
  const header = Buffer.alloc(30)
  header.writeUInt32LE(0x04034b50, 0)
  header.writeUInt16LE(8, 8)
  header.writeUInt16LE(name.length, 26)
  return Buffer.concat([header, Buffer.from(name), deflateRawSync(manifest), Buffer.from('PK..rest')])
}

const python = '/usr/bin/python3.11'
const cases: [
  why: string,
  process: Partial<NativeProcess>,
  files: Record<string, string | Buffer>,
  version: string,
][] = [
  [
    'OTEL_RESOURCE_ATTRIBUTES before all',
    {
      environment: ['OTEL_RESOURCE_ATTRIBUTES=service.version=7%2C1'],
      exe: '/usr/bin/node',
      cmdline: ['node', '/a/x.js'],
    },
    { '/a/package.json': '{"version":"1.0.0"}' },
    '7,1',
  ],
  [
    'package.json above the script',
    { exe: '/usr/bin/node', cmdline: ['node', 'src/main.js'], cwd: '/srv/shop' },
    { '/srv/shop/package.json': '{"version":"1.4.2"}', '/srv/shop/.git/HEAD': commit },
    '1.4.2',
  ],
  [
    'package.json without a version: the one above',
    { exe: '/usr/bin/node', cmdline: ['node', '/srv/shop/dist/main.js'] },
    {
      '/srv/shop/dist/package.json': '{"type":"module"}',
      '/srv/shop/package.json': '{"version":"2.0.0-rc.1"}',
    },
    '2.0.0-rc.1',
  ],
  [
    'a manifest',
    { exe: '/usr/bin/java', cmdline: ['java', '-jar', '/srv/shop-1.jar'] },
    { '/srv/shop-1.jar': jar('Manifest-Version: 1.0\r\nImplementation-Version: 3.2.1\r\n') },
    '3.2.1',
  ],
  [
    'the file name of a jar',
    { exe: '/usr/bin/java', cmdline: ['java', '-jar', 'shop-1.4.2-SNAPSHOT.jar'], cwd: '/srv' },
    { '/srv/shop-1.4.2-SNAPSHOT.jar': 'PK' },
    '1.4.2-SNAPSHOT',
  ],
  [
    'dist-info of a module in a virtual environment',
    { exe: python, cmdline: ['/srv/v/bin/python', '-m', 'acme_shop.web'] },
    { '/srv/v/lib/python3.11/site-packages': 'other-1.dist-info\nAcme.Shop-5.6.dist-info\n' },
    '5.6',
  ],
  [
    'HEAD of the clone',
    { exe: python, cmdline: ['python3', 'tools/../cart.py'], cwd: '/srv/shop' },
    { '/srv/shop/.git/HEAD': 'ref: refs/heads/main\n', '/srv/shop/.git/refs/heads/main': `${commit}\n` },
    '0123456789ab',
  ],
  [
    'HEAD in packed-refs',
    { exe: python, cmdline: ['python3', '/srv/shop/cart.py'] },
    {
      '/srv/shop/.git/HEAD': 'ref: refs/heads/main',
      '/srv/shop/.git/packed-refs': `# pack-refs\n${commit} refs/heads/main\n`,
    },
    '0123456789ab',
  ],
  [
    'a ref that leads out',
    { exe: python, cmdline: ['python3', '/srv/shop/cart.py'] },
    { '/srv/shop/.git/HEAD': 'ref: refs/../../secret', '/srv/shop/.git/refs/../../secret': commit },
    'no_source',
  ],
  [
    'text that is no version',
    { exe: '/usr/bin/node', cmdline: ['node', '/a/x.js'] },
    { '/a/package.json': '{"version":"root:$6$x:19"}' },
    'no_source',
  ],
  [
    'inline code',
    { exe: '/usr/bin/node', cmdline: ['node', '-e', '1'] },
    { '/package.json': '{"version":"1.0.0"}' },
    'no_source',
  ],
]
test.each(cases)('version: %s', async (_, process, files, version) => {
  const found = await findServiceVersion(nativeProcess(process), testFiles(files))
  expect(found.version || found.reason).toBe(version)
})

test.each<[exe: string, buildId: string, owner: Owner, version: string]>([
  ['/srv/api', 'b1', 'none', 'b1'],
  ['/srv/api', '', 'none', 'no_build_id'],
  ['/usr/sbin/nginx', 'b1', 'package', 'package'],
  ['/usr/sbin/nginx', 'b1', 'unknown', 'package'],
  ['/app/api', 'b1', 'unknown', 'b1'],
])('build id of %s: "%s", owner %s', async (exe, buildId, owner, version) => {
  const found = await findServiceVersion(nativeProcess({ exe }), testFiles({}, { buildId, owner }))
  expect(found.version || found.reason).toBe(version)
})

describe('the version of an instance', () => {
  const second = 1_000_000_000n
  const unit = '0::/system.slice/shop.service'
  test('is its main process’s, through the shell that started it, until that one ends', async () => {
    const alive = new Map<number, ProcessStat>()
    const process = (pid: number, exe: string, version: string) => {
      alive.set(pid, { parentPid: 1, startBoottime: BigInt(pid) * second, cpuNs: 0 })
      const environment = version ? [`OTEL_RESOURCE_ATTRIBUTES=service.version=${version}`] : []
      return nativeProcess({ pid, exe, cgroup: unit, startBoottime: BigInt(pid) * second, environment })
    }
    const none: string[] = []
    const versions = new ServiceVersions({
      ...{
        files: testFiles({}, { buildId: '', owner: 'package' }),
        readStat: pid => alive.get(pid) ?? 'gone',
      },
      ...{ maxLookups: 10, maxLookupMs: 1000, onNone: reason => none.push(reason), now: () => 0 },
    })
    const shell = process(1, '/bin/sh', '')
    const old = process(2, '/srv/shop', '1')
    const helper = process(3, '/usr/bin/convert', '')
    const next = process(4, '/srv/shop', '2')
    await versions.learn([next, helper, old, shell])
    const all = () => [shell, old, helper, next].map(each => versions.versionOf(each)).join(' ')
    expect(all()).toBe('1 1 1 1')
    expect(none).toEqual(['package', 'no_source'])
    alive.delete(2)
    alive.delete(3)
    await versions.learn([next, shell])
    expect(versions.versionOf(next)).toBe('2')
    expect(versions.versionOf(shell)).toBe('2')
  })

  test('waits for the next window when a window has too many', async () => {
    const versions = new ServiceVersions({
      ...{ files: testFiles({}), readStat: () => 'hidden', maxLookups: 1, maxLookupMs: 1000 },
      ...{ onNone: () => {}, now: () => 0 },
    })
    const [a, b] = [nativeProcess({ pid: 5, exe: '/srv/a' }), nativeProcess({ pid: 6, exe: '/srv/b' })]
    await versions.learn([a!, b!])
    expect([a!, b!].map(each => versions.versionOf(each))).toEqual(['b1', ''])
    await versions.learn([a!, b!])
    expect(versions.versionOf(b!)).toBe('b1')
  })
})

test.each([
  [['OTEL_SERVICE_NAME=cart'], 'cart'],
  [['OTEL_RESOURCE_ATTRIBUTES=a=b, service.name = cart ,x'], 'cart'],
  [['OTEL_SERVICE_NAME=cart', 'OTEL_RESOURCE_ATTRIBUTES=service.name=other'], 'cart'],
  [['OTEL_RESOURCE_ATTRIBUTES=service.name=50%'], '50%'],
  [['OTEL_RESOURCE_ATTRIBUTES=__proto__=x'], ''],
  [[], ''],
])('OpenTelemetry service name of %j', (environment, name) => {
  expect(parseOtelResource(environment).serviceName).toBe(name)
})
