import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { fromBinary } from '@bufbuild/protobuf'
import { decodePprof } from '@strobe/profile'
import { type WriteRequest, WriteRequestSchema } from '@strobe/proto'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { NativeAddon, NativeWindow } from './bpf/native.ts'
import { type AgentConfig, parseAgentConfig } from './config.ts'
import { type AgentParts, runAgent } from './run-agent.ts'
import { PipeDecoder, type PipeMessage } from './ship/pipe-protocol.ts'
import { startTestServer } from './ship/test-server.ts'
import { nativeFrame, nativeProcess, nativeWindow } from './testing.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strobe-agent-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** The events of a kernel that runs `api`, with function names by offset; fails where the test says so. */
function testAddon(nextWindow: (index: number) => NativeWindow): NativeAddon {
  let windows = 0
  return {
    resultNames: ['complete'],
    openProcessFiles: () => ({
      read: () => Promise.resolve({ reason: 'FILE_MISSING', bytes: new Uint8Array() }),
      list: () => Promise.resolve({ reason: 'FILE_MISSING', bytes: new Uint8Array() }),
      executable: () => Promise.resolve({ reason: '', buildId: '', owner: 'none' }),
    }),
    openPerfMaps: () => ({ name: async (_pid, _start, _nsPid, pcs) => Array.from(pcs, () => '') }),
    demangle: name => name,
    openSession: () => ({
      start() {},
      collect: async () => nextWindow(windows++),
      symbolize: async frames => ({
        strings: ['', 'work', '_start'],
        lineOffset: Uint32Array.from({ length: frames.length / 2 + 1 }, (_, frame) => frame),
        name: Uint32Array.from({ length: frames.length / 2 }, (_, frame) =>
          Number(frames[frame * 2]! & 0xfn),
        ),
        systemName: new Uint32Array(frames.length / 2),
        sourceFile: new Uint32Array(frames.length / 2),
        line: new Uint32Array(frames.length / 2),
        startLine: new Uint32Array(frames.length / 2),
        isFinal: new Uint8Array(frames.length / 2).fill(1),
        file: new Uint32Array(frames.length / 2),
        address: new BigUint64Array(frames.length / 2),
      }),
      files: () => [{ id: 3, path: '/bin/api', buildId: 'ab', lowestVaddr: 0n, state: 'ready', reason: '' }],
      takeWantedDebugFiles: () => [],
      debugFileArrived: () => [],
      counters: () => ({ maps_bytes: 7 }),
      stop: async () => {},
    }),
  }
}

const apiWindow = () =>
  nativeWindow(
    [nativeProcess({ pid: 2 ** 30, exe: '/bin/api' })],
    [{ process: 0, stack: [nativeFrame(3, 1), nativeFrame(3, 2)], count: 4 }],
    { samples_lost: 1 },
  )
const handles = {
  ...{ version: 1 as const, maps: {}, sampleEvents: [], sideBandEvents: [], kallsymsFd: -1, periodNs: 1000 },
  programs: [{ name: 'sample_cpu', loaded: true, reason: '' }],
}

function start(config: Partial<AgentConfig>, profiler: AgentParts['profiler']) {
  const input = new PassThrough()
  const output = new PassThrough()
  const decoder = new PipeDecoder()
  const messages: PipeMessage[] = []
  output.on('data', (chunk: Buffer) => messages.push(...decoder.push(chunk)))
  const defaults = parseAgentConfig(['--host-name=h', '--window=100', '--heartbeat=100'], {})
  const ended = runAgent({
    config: { ...defaults, spoolDir: folder, isAttached: true, ...config },
    ...{ version: '1.2.3', log: pino({ level: 'silent' }), profiler, checks: [], input, output },
    stop: new AbortController(),
  })
  return { input, messages, ended, stop: () => input.end() }
}

const text = (message: PipeMessage | undefined) => JSON.parse(Buffer.from(message!.payload).toString())

function describeBatch(batch: WriteRequest) {
  const [body] = batch.bodies
  const profile = decodePprof(gunzipSync(body!.pprof))
  const [series] = body!.series
  return {
    labels: series!.labels.map(({ name, value }) => `${name}=${value}`),
    functions: profile.functions.map(each => each.name),
    value: profile.values[0],
    counts: [series!.expected, series!.lost, series!.truncated, series!.unsymbolized],
    duration: series!.durationNanos,
  }
}

const expected = {
  labels: ['host_name=h', 'process_executable_name=api', 'service_name=api'],
  functions: ['work', '_start'],
  value: 4000n,
  // The process is gone by the end of the window: the samples stand for what was expected.
  counts: [4n, 1n, 0n, 0n],
  duration: 10_000_000_000n,
}

test('an attached agent says ready, sends its windows down the pipe and ends when its input does', async () => {
  const agent = start({ output: 'pipe' }, { addon: testAddon(apiWindow), handles })
  await vi.waitFor(() => expect(agent.messages.length).toBeGreaterThan(1))
  agent.stop()
  await agent.ended
  expect(text(agent.messages[0])).toEqual({ isProfiling: true, reason: '', pid: process.pid })
  expect(agent.messages.at(-1)!.type).toBe(3)
  expect(text(agent.messages.at(-1)).counters).toMatchObject({
    maps_bytes: 7,
    samples_lost: expect.any(Number),
  })
  for (const message of agent.messages.slice(1, -1))
    expect(describeBatch(fromBinary(WriteRequestSchema, message.payload))).toEqual(expected)
})

test('only the target is recorded, and nothing before it is named', async () => {
  const agent = start({ output: 'pipe', target: 'none' }, { addon: testAddon(apiWindow), handles })
  await vi.waitFor(() => expect(agent.messages.length).toBe(1))
  agent.input.write(`not json\n{"target":-1}\n{"target":${2 ** 30}}\n`)
  await vi.waitFor(() => expect(agent.messages.length).toBe(2))
  agent.stop()
  await agent.ended
})

test('a window that fails is counted and the next one comes', async () => {
  const addon = testAddon(index => {
    // The first one ends the warm-up of a recording.
    if (index === 1) throw new Error('ring torn')
    return apiWindow()
  })
  const agent = start({ output: 'pipe' }, { addon, handles })
  await vi.waitFor(() => expect(agent.messages.length).toBeGreaterThan(1))
  agent.stop()
  await agent.ended
  expect(text(agent.messages.at(-1)).counters.windows_failed).toBe(1)
})

test('windows reach the server, with heartbeats that say healthy', async () => {
  const server = await startTestServer()
  const agent = start({ server: server.address }, { addon: testAddon(apiWindow), handles })
  await vi.waitFor(() => {
    expect(server.batches.length).toBeGreaterThan(1)
    expect(server.heartbeats.length).toBeGreaterThan(0)
  })
  agent.stop()
  await agent.ended
  server.stop()
  expect(describeBatch(server.batches[0]!)).toEqual(expected)
  expect(server.heartbeats[0]).toMatchObject({ host: 'h', version: '1.2.3', state: 'healthy', reason: '' })
})

test('an agent that may not profile tells the server why, and nothing else', async () => {
  const server = await startTestServer()
  const agent = start({ server: server.address }, { reason: 'btf: missing' })
  await vi.waitFor(() => expect(server.heartbeats.length).toBeGreaterThan(0))
  agent.stop()
  await agent.ended
  server.stop()
  expect(text(agent.messages[0])).toMatchObject({ isProfiling: false, reason: 'btf: missing' })
  expect(server.heartbeats[0]).toMatchObject({ state: 'cannot_profile', reason: 'btf: missing' })
  expect(server.calls).toEqual([])
})

test('all mistakes of a configuration are told together', () => {
  expect(() =>
    parseAgentConfig(['--rate', '0', '--spool', 'x', '--target=me'], { STROBE_WINDOW_MS: '5' }),
  ).toThrow(
    expect.objectContaining({
      code: 'OPTION_INVALID',
      message:
        '"--spool" is no option of the agent; "x" is no option of the agent; --rate (STROBE_RATE_HZ) is "0"; it takes a whole number of Hz, at least 1 and at most 4999; --window (STROBE_WINDOW_MS) is "5"; it takes a whole number of ms, at least 100 and at most 600000; --target (STROBE_TARGET) is "me"; it takes all, none or a process id. See strobe agent --help',
    }),
  )
})

test('a flag wins over its variable, the variable over the default', () => {
  const env = { STROBE_RATE_HZ: '49', STROBE_KERNEL_STACKS: 'no', STROBE_HOST_NAME: 'h' }
  expect(parseAgentConfig(['--rate=97'], env)).toMatchObject({
    rateHz: 97,
    kernelStacks: false,
    windowMs: 10_000,
  })
})

test('the key comes from the process that started the agent, and may change', async () => {
  const server = await startTestServer()
  const agent = start({ server: server.address, output: 'server' }, { reason: 'a test' })
  agent.input.write('{"token":"first-key"}\n')
  await vi.waitFor(() => expect(server.authorizations).toContain('Bearer first-key'))
  agent.input.write('{"token":"second-key"}\n')
  await vi.waitFor(() => expect(server.authorizations.at(-1)).toBe('Bearer second-key'))
  agent.stop()
  await agent.ended
  server.stop()
})
