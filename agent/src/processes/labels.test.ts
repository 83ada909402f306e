import { describe, expect, test } from 'vitest'
import type { NativeProcess } from '../bpf/native.ts'
import { nativeProcess } from '../testing.ts'
import { parseCgroup } from './cgroup.ts'
import { interpreterProgram } from './interpreter-program.ts'
import { labelValue, seriesLabels, serviceName } from './labels.ts'

const id = '4c01db0b339c4bbe0d8fb87a9ae6c83ca30ccb0f4e2c11a9c6d3d4b5a6f7e8d9'

describe('service of a process', () => {
  const cases: [why: string, process: Partial<NativeProcess>, service: string][] = [
    ['an executable', { exe: '/usr/sbin/nginx' }, 'nginx'],
    ['a replaced executable', { exe: '/opt/shop/api (deleted)' }, 'api'],
    ['an executable that was gone', { exe: '', comm: 'gone' }, 'gone'],
    ['nothing known', { exe: '', comm: '' }, 'unknown'],
    ['a systemd unit', { exe: '/usr/bin/python3.11', cgroup: '0::/system.slice/shop.service' }, 'shop'],
    ['a template unit', { cgroup: '0::/system.slice/system-pg.slice/pg@15.service' }, 'pg@15'],
    ['an escaped unit', { cgroup: '0::/system.slice/my\\x2dapp.service' }, 'my-app'],
    ['a unit under v1', { cgroup: '5:cpu:/x\n1:name=systemd:/system.slice/cron.service' }, 'cron'],
    ['a desktop', { cgroup: '0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service' }, 'prog'],
    ['a login', { cgroup: '0::/user.slice/user-0.slice/session-3.scope' }, 'prog'],
    ['a container', { exe: '/app/api', cgroup: `0::/system.slice/docker-${id}.scope` }, 'api'],
    [
      'a container under a unit',
      { exe: '/app/api', cgroup: `0::/system.slice/x.service/docker/${id}` },
      'api',
    ],
    ['a container of nothing', { exe: '', comm: '', cgroup: `0::/docker/${id}` }, '4c01db0b339c'],
    ['a script', { exe: '/usr/bin/python3.11', cmdline: ['python3', '-u', '/srv/cart.py'] }, 'cart'],
  ]
  const otel = ['OTEL_SERVICE_NAME=cart', 'OTEL_RESOURCE_ATTRIBUTES=service.name=x']
  cases.push([
    'OTEL_SERVICE_NAME before a unit',
    { cgroup: '0::/system.slice/a.service', environment: otel },
    'cart',
  ])
  test.each(cases)('%s', (_, process, service) => {
    expect(serviceName(nativeProcess(process), false)).toBe(service)
  })
  test('a kernel thread', () => {
    expect(serviceName(nativeProcess({ comm: 'kworker/N:N' }), true)).toBe('kernel')
  })
})

describe('container of a cgroup', () => {
  test.each([
    [`0::/system.slice/docker-${id}.scope`, id],
    [`12:memory:/docker/${id}`, id],
    [
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice/cri-containerd-${id}.scope`,
      id,
    ],
    [`0::/kubepods/burstable/pod11-22/${id}`, id],
    [`0::/kubepods.slice/crio-${id}.scope/container`, id],
    [`0::/machine.slice/libpod-${id}.scope/container`, id],
    [`0::/machine.slice/libpod-conmon-${id}.scope`, ''],
    ['0::/lxc.payload.web1/init.scope', 'web1'],
    [`0::/system.slice/${id.slice(1)}`, ''],
    ['', ''],
  ])('%s', (text, container) => {
    expect(parseCgroup(text).containerId).toBe(container)
  })
})

describe('program of an interpreter', () => {
  test.each([
    ['python3.11', 'python3 -u -W ignore /srv/shop/cart.py --port 1', 'cart'],
    ['python3', 'python3 -m celery.bin worker', 'celery.bin'],
    ['python3', 'python3 -um http.server', 'http.server'],
    ['python3', 'python3 -c print(1) x.py', ''],
    ['python3', 'python3 manage.py runserver', 'here'],
    ['pypy3', 'pypy3 ./tool.py', 'tool'],
    ['node', 'node --import tsx -r dotenv/config /srv/shop/src/index.js', 'shop'],
    ['node', 'node -e while(1){}', ''],
    ['node', 'node --max-old-space-size=100 build.mjs', 'build'],
    ['deno', 'deno run worker/cart.ts', 'cart'],
    ['java', 'java -Xmx1g -cp a.jar:b.jar com.acme.shop.Main --x', 'com.acme.shop.Main'],
    ['java', 'java -server -jar /srv/shop-1.4.2-SNAPSHOT.jar', 'shop'],
    ['java', 'java -p mods -m shop/com.acme.Main', 'com.acme.Main'],
    ['ruby3.1', 'ruby -I lib -rbundler /srv/cart.rb', 'cart'],
    ['perl', 'perl -w -Ilib /usr/bin/sa-update', 'sa-update'],
    ['perl', 'perl -ne print', ''],
    ['dotnet', 'dotnet exec /app/Shop.dll', 'Shop'],
    ['php8.2', 'php -d x=1 /srv/cron.php', 'cron'],
    ['bash', 'bash -e /usr/local/bin/backup.sh', 'backup'],
    ['bash', 'bash -c sleep', ''],
    ['bash', 'bash', ''],
    ['bash', 'bash /dev/fd/63', ''],
    ['dash', 'sh', ''],
    ['bash', '-bash', ''],
    ['node', 'strobe-agent', 'strobe-agent'],
    ['nginx', 'nginx -c /etc/nginx.conf', ''],
  ])('%s: %s', (executable, cmdline, program) => {
    expect(interpreterProgram(executable, cmdline.split(' '), '/srv/here')).toBe(program)
  })
})

test('a command line that the program rewrote names it', () => {
  expect(interpreterProgram('python3.11', ['gunicorn: master [shop]', '', ''], '/')).toBe('gunicorn')
  expect(interpreterProgram('ruby3.1', ['puma 6.4.0 (tcp://0.0.0.0:80) [shop]'], '/')).toBe('puma')
})

test('labels are sorted by name and none is empty', () => {
  const process = nativeProcess({ exe: '/app/api', cgroup: `0::/docker/${id}` })
  expect(seriesLabels(process, false, { name: 'api', version: '' }, 'h1')).toEqual([
    ['container_id', id],
    ['host_name', 'h1'],
    ['process_executable_name', 'api'],
    ['service_name', 'api'],
  ])
})

test('pod and OpenTelemetry attributes become labels', () => {
  const environment = ['OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,deployment.environment.name=prod']
  const cgroup = '0::/kubepods/besteffort/pod0f7c1d3e-1111-2222-3333-444455556666'
  const process = nativeProcess({ exe: '/app/api', cgroup, environment })
  expect(seriesLabels(process, false, { name: 'api', version: '1' }, 'h1').flat()).toEqual([
    ...['deployment_environment', 'prod', 'host_name', 'h1'],
    ...['k8s_pod_uid', '0f7c1d3e-1111-2222-3333-444455556666', 'process_executable_name', 'api'],
    ...['service_name', 'api', 'service_namespace', 'shop', 'service_version', '1'],
  ])
})

const uid = '0f7c1d3e-1111-2222-3333-444455556666'
const slice = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`
test.each([
  [`0::/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${id}.scope`, id, uid],
  [`0::/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice/crio-${id}.scope`, id, uid],
  [`4:memory:/kubepods/burstable/pod${uid}/${id}\n0::/`, id, uid],
  [`0::/../../kubepods-besteffort.slice/kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`, '', uid],
  ['0::/kubepods/pod0123456789abcdef0123456789abcdef/x', '', '0123456789abcdef0123456789abcdef'],
  [`0::/machine.slice/libpod-${id}.scope`, id, ''],
  [`0::/machine.slice/libpod-payload-${id}`, id, ''],
  ['0::/podman-1.slice', '', ''],
])('pod of %s', (text, containerId, podUid) => {
  expect(parseCgroup(text)).toMatchObject({ containerId, podUid })
})

test('a value is printable and at most 200 bytes, cut between characters', () => {
  expect(labelValue('a\nb\x1b[31m')).toBe('a?b?[31m')
  expect(labelValue('ä'.repeat(150))).toBe('ä'.repeat(100))
  expect(labelValue(`x${'ä'.repeat(150)}`)).toBe(`x${'ä'.repeat(99)}`)
})
