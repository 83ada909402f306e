import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type AgentEnd, type AgentHandle, startAgent } from '@strobe/agent'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cannotProfile } from './agent-record.ts'

const cgroupMount = readFileSync('/proc/mounts', 'utf8')
  .split('\n')
  .map(line => line.split(' '))
  .find(fields => fields[2] === 'cgroup2')?.[1]

function refusal(): string {
  if (cannotProfile) return cannotProfile
  if (process.getuid?.() !== 0) return ' (not run: needs root)'
  if (!cgroupMount) return ' (not run: no cgroup2 mount)'
  const missing = ['git', 'python3', 'unshare', '/usr/bin/node'].find(
    name => spawnSync(name, ['--version']).error,
  )
  return missing ? ` (not run: ${missing} is missing)` : ''
}
const reason = refusal()

// A tenth of a CPU each, and none outlives a test that broke.
const jsProgram = `const end = Date.now() + 120e3
setInterval(() => { if (Date.now() > end) process.exit(); for (const at = Date.now(); Date.now() < at + 5;); }, 50)`
const pyProgram = `import time
end = time.time() + 120
while time.time() < end:
    sum(range(100000))
    time.sleep(0.05)
`
// A name of this run: others may run the same test on this machine.
const run = `identity${process.pid}`
const containerId = (digit: string) => digit.repeat(64)
const podUid = '0f7c1d3e-1111-2222-3333-444455556666'
const podSlice = `kubepods-burstable-pod${podUid.replaceAll('-', '_')}.slice`
const cgroups: [runtime: string, path: string, digit: string, pod: string][] = [
  ['containerd', `kubepods.slice/kubepods-burstable.slice/${podSlice}/cri-containerd-ID.scope`, 'a', podUid],
  ['docker', 'docker/ID', 'b', ''],
  ['docker-systemd', 'system.slice/docker-ID.scope', 'c', ''],
  ['cgroupfs', `kubepods/burstable/pod${podUid}/ID`, 'd', podUid],
  ['podman', 'machine.slice/libpod-ID.scope', 'e', ''],
]

describe.skipIf(reason !== '')(`labels that the agent gives to real processes${reason}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'strobe-identity-'))
  const inFolder = (name: string) => join(folder, name)
  const children: ChildProcess[] = []
  /** Labels of sampled series by service name, the newest. */
  const seen = new Map<string, Record<string, string>>()
  let onWindow: () => void = () => {}
  let agent: AgentHandle
  let end: AgentEnd | null = null

  const start = (command: string, args: string[], options: SpawnOptions = {}) => {
    const child = spawn(command, args, { stdio: 'ignore', ...options })
    children.push(child)
    return child
  }
  const write = (path: string, text: string) => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  }
  /** Resolves with the labels of a service once a window shows them as wanted; undefined after 30 s. */
  const labelsOf = async (service: string, isWanted = (_: Record<string, string>) => true) => {
    const endMs = performance.now() + 30_000
    while (performance.now() < endMs) {
      const labels = seen.get(service)
      if (labels && isWanted(labels)) return labels
      await new Promise<void>(resolve => {
        onWindow = resolve
      })
    }
    return seen.get(service)
  }

  beforeAll(async () => {
    chmodSync(folder, 0o755)
    const rules = `relabel_configs:
  - source_labels: [__process_command]
    regex: .*/refused-${run}.js
    action: drop
  - source_labels: [__process_command]
    regex: .*/renamed-${run}.js
    target_label: service_name
    replacement: chosen-${run}
`
    agent = startAgent({
      config: {
        output: 'pipe',
        windowMs: 1000,
        rateHz: 199,
        relabelFile: write(inFolder('rules.yml'), rules),
      },
      ...{ elevate: 'never', reportsWithoutProfiling: false, onLog: () => {} },
      onBatch: batch => {
        for (const { series } of batch.bodies)
          for (const { labels } of series) {
            const values = Object.fromEntries(labels.map(({ name, value }) => [name, value]))
            seen.set(values.service_name ?? '', values)
          }
        onWindow()
      },
    })
    await agent.ready
  })
  afterAll(async () => {
    await agent?.stop()
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(folder, { recursive: true })
  })

  test('OpenTelemetry’s variables, and no others', async () => {
    const attributes = 'service.version=7.1,service.namespace=shop,deployment.environment.name=prod'
    start(process.execPath, ['-e', jsProgram], {
      env: { OTEL_SERVICE_NAME: `cart-${run}`, OTEL_RESOURCE_ATTRIBUTES: attributes, PASSWORD: 'secret' },
    })
    const labels = await labelsOf(`cart-${run}`)
    expect(labels).toMatchObject({
      ...{ service_version: '7.1', service_namespace: 'shop', deployment_environment: 'prod' },
    })
    expect(JSON.stringify([...seen])).not.toContain('secret')
  })

  test('a script has the version of its package.json', async () => {
    write(inFolder(`web-${run}/package.json`), '{"version":"1.4.2"}')
    start(process.execPath, [write(inFolder(`web-${run}/src/main.js`), jsProgram)])
    expect(await labelsOf(`web-${run}`, labels => 'service_version' in labels)).toMatchObject({
      service_version: '1.4.2',
    })
  })

  test('a script in a git clone has the commit it was checked out at', async () => {
    const clone = inFolder('clone')
    const script = write(join(clone, `jobs-${run}.py`), pyProgram)
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', clone, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]).toString()
    git('init', '-q')
    git('add', '.')
    git('commit', '-q', '-m', 'a')
    start('python3', [script])
    const labels = await labelsOf(`jobs-${run}`, ({ service_version }) => service_version !== undefined)
    expect(labels?.service_version).toBe(git('rev-parse', 'HEAD').slice(0, 12))
  })

  test.each(cgroups)('a process in a cgroup as of %s', async (runtime, template, digit, pod) => {
    const parts = template.replace('ID', containerId(digit)).split('/')
    const made = parts.map((_, index) => join(cgroupMount!, ...parts.slice(0, index + 1)))
    const own = made.filter(path => {
      try {
        mkdirSync(path)
        return true
      } catch {
        return false // another run's, or the machine's own slice
      }
    })
    const script = write(inFolder(`${runtime}-${run}.js`), jsProgram)
    const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    const child = start('sh', ['-c', enter, made.at(-1)!, process.execPath, script])
    try {
      const labels = await labelsOf(`${runtime}-${run}`)
      expect(labels?.container_id).toBe(containerId(digit))
      expect(labels?.k8s_pod_uid ?? '').toBe(pod)
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
      for (const path of own.reverse()) rmdirSync(path)
    }
  })

  test('a process in its own mount and PID namespace is read below its own root', async () => {
    const [upper, work, merged] = ['upper', 'workdir', 'merged'].map(inFolder)
    for (const path of [upper!, work!, merged!]) mkdirSync(path)
    const app = `/opt/inside-${run}`
    // A link that leads to another file on the host than inside, where it must be followed.
    const host = write(inFolder('host/package.json'), '{"version":"6.6.6"}')
    write(join(upper!, app, 'main.js'), jsProgram)
    symlinkSync(`/linked-${run}/package.json`, join(upper!, app, 'package.json'))
    write(join(upper!, `linked-${run}/package.json`), '{"version":"9.9.1"}')
    symlinkSync(dirname(host), `/linked-${run}`)
    const setUp = `mount -t tmpfs none ${work} && mkdir ${work}/up ${work}/work && cp -r ${upper}/. ${work}/up &&
      mount -t overlay overlay -o lowerdir=/,upperdir=${work}/up,workdir=${work}/work ${merged} &&
      mkdir -p ${merged}${dirname(process.execPath)} && touch ${merged}${process.execPath} &&
      mount --bind ${process.execPath} ${merged}${process.execPath} && mount -t proc proc ${merged}/proc &&
      exec chroot ${merged} ${process.execPath} ${app}/main.js`
    try {
      const child = start('unshare', ['-m', '-p', '-f', '--kill-child', 'sh', '-c', setUp], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let said = ''
      child.stderr!.on('data', chunk => {
        said += chunk
      })
      const labels = await labelsOf(`inside-${run}`, ({ service_version }) => service_version !== undefined)
      expect(labels?.service_version, said).toBe('9.9.1')
    } finally {
      rmSync(`/linked-${run}`)
    }
  })

  test('a link to a file that only root may read tells a process of another user nothing', async () => {
    const secret = write(inFolder('secret/package.json'), '{"version":"6.6.6"}')
    chmodSync(secret, 0o600)
    // For a .js file Node itself would read the package.json, and fail.
    const script = write(inFolder(`hostile-${run}/main.cjs`), jsProgram)
    symlinkSync(secret, inFolder(`hostile-${run}/package.json`))
    // The machine's own Node: a clone may stand where another user may not go, such as /root.
    start('/usr/bin/node', [script], { uid: 65534, gid: 65534 })
    expect(await labelsOf(`hostile-${run}`)).toBeDefined()
    // By the time a later process has its version, this one was looked at too.
    write(inFolder(`later-${run}/package.json`), '{"version":"1.0.1"}')
    start(process.execPath, [write(inFolder(`later-${run}/main.js`), jsProgram)])
    await labelsOf(`later-${run}`, ({ service_version }) => service_version === '1.0.1')
    expect(seen.get(`hostile-${run}`)?.service_version).toBeUndefined()
  })

  test('rules rename a service and refuse a process, whose samples are counted', async () => {
    start(process.execPath, [write(inFolder(`refused-${run}.js`), jsProgram)])
    start(process.execPath, [write(inFolder(`renamed-${run}.js`), jsProgram)])
    expect(await labelsOf(`chosen-${run}`)).toBeDefined()
    expect(seen.has(`renamed-${run}`)).toBe(false)
    end = await agent.stop()
    expect(seen.has(`refused-${run}`)).toBe(false)
    expect(end.counters?.samples_refused).toBeGreaterThan(0)
    expect(end.counters?.versions_none_no_source).toBeGreaterThan(0)
  })
})
