import { expect, test } from 'vitest'
import { describeOptions, readConfig, serverOptions } from './config.ts'

test('defaults keep to loopback', () => {
  const config = readConfig({}, {})
  expect(config.listen).toBe('127.0.0.1')
  expect(config.port).toBe(4040)
  expect(config.dataDir).toMatch(/^\/.*\.strobe$/)
})

test('a flag wins over a variable, a variable over a default', () => {
  const env = { STROBE_PORT: '5000', STROBE_GRPC_PORT: '5001', STROBE_QUERY_TIMEOUT: '2m' }
  const config = readConfig({ port: '6000' }, env)
  expect([config.port, config.grpcPort, config.queryTimeoutMs]).toEqual([6000, 5001, 120_000])
})

test('sizes and lists are read with their units', () => {
  const config = readConfig({ maxUploadBytes: '64MiB', allowedHosts: 'a.example, b.example' }, {})
  expect(config.maxUploadBytes).toBe(67_108_864)
  expect(config.allowedHosts).toEqual(['a.example', 'b.example'])
})

test('all mistakes are named together', () => {
  expect(() => readConfig({ port: '70000', insecure: 'maybe' }, { STROBE_QUERY_TIMEOUT: 'soon' })).toThrow(
    /--port=70000: more than 65535.*--insecure=maybe: not yes or no|--port=70000.*STROBE_QUERY_TIMEOUT=soon/s,
  )
  try {
    readConfig({ port: '70000', insecure: 'maybe' }, { STROBE_QUERY_TIMEOUT: 'soon' })
  } catch (error) {
    expect((error as { details: { mistakes: string[] } }).details.mistakes).toHaveLength(3)
  }
})

test('every option has its own flag and variable, and a line of help', () => {
  for (const column of ['flag', 'variable', 'key'] as const)
    expect(new Set(serverOptions.map(option => option[column])).size).toBe(serverOptions.length)
  for (const line of describeOptions()) expect(line.sentence).toMatch(/\.$/)
})
